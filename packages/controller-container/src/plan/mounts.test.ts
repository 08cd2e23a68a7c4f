import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, overlayMount, specification } from "../testing/index.ts";

async function created(...mounts: readonly object[]): Promise<ContainerBench> {
  const bench = new ContainerBench();
  bench.files.kinds.set("/disks/data.vhdx", "file").set("/disks/raw", "block").set("/run/socket", "other");
  bench.files.links.set("/disks/link.vhdx", "/disks/data.vhdx");
  return await bench.created([overlayMount], specification({ mounts }));
}

const guestMounts = (bench: ContainerBench) => bench.guest.settings[0]?.OciSpecification.mounts;

it("a path that the host cannot resolve is refused by its name", async () => {
  const bench = new ContainerBench();
  const fault = Object.assign(new Error("ELOOP: too many symbolic links encountered"), { syscall: "stat" });
  bench.files.kind = () => Promise.reject(fault);
  const mounts = [{ destination: "/data", type: "bind", source: "/loop" }];
  const request = { spec: specification({ mounts }), rootfs: [overlayMount], stdio: noStdio };
  await expect(bench.controller.create(request)).rejects.toMatchObject({
    code: "InvalidArgument",
    message: expect.stringContaining("/loop cannot be used: ELOOP"),
  });
});

it.each([
  [
    ["rbind", "rw"],
    ["rbind", "rw", "nosuid", "nodev", "noexec"],
  ],
  [
    ["rbind", "rw", "nodev", "exec"],
    ["rbind", "rw", "nodev", "exec", "nosuid"],
  ],
  [
    ["bind", "suid", "dev", "exec"],
    ["bind", "suid", "dev", "exec"],
  ],
])("a share with %j has the flags of the host's mount unless its options say otherwise", async (options, expected) => {
  const bench = new ContainerBench();
  bench.files.kinds.set("/run/shm", "directory").set("/run/shm/file", "file");
  for (const path of ["/run/shm", "/run/shm/file"]) bench.files.flagsOfMounts.set(path, ["nosuid", "nodev", "noexec"]);
  const mounts = [
    { destination: "/dev/shm", type: "bind", source: "/run/shm", options },
    { destination: "/file", type: "bind", source: "/run/shm/file", options },
  ];
  await bench.created([overlayMount], specification({ mounts }));
  expect(guestMounts(bench)?.map((mount) => mount.options)).toEqual([expected, expected]);
});

describe("thousands of mounts", () => {
  const mounts = Array.from({ length: 1000 }, (_, index) => ({
    destination: `/m${index}`,
    type: "bind",
    source: `/data/${index}`,
  }));

  function countingBench(isThere: (path: string) => boolean) {
    const bench = new ContainerBench();
    const asked: string[] = [];
    const counts = { now: 0, most: 0 };
    bench.files.kind = async (path) => {
      asked.push(path);
      counts.now += 1;
      counts.most = Math.max(counts.most, counts.now);
      await new Promise((resolve) => setImmediate(resolve));
      counts.now -= 1;
      return isThere(path) ? "directory" : undefined;
    };
    return { bench, asked, counts };
  }

  it("are examined a few at a time, and keep their order", async () => {
    const { bench, counts } = countingBench(() => true);
    await bench.created([overlayMount], specification({ mounts }));
    expect(guestMounts(bench)?.map(({ destination }) => destination)).toEqual(
      mounts.map(({ destination }) => destination),
    );
    expect(counts.most).toBe(16);
  });

  it("are examined no further once one is refused", async () => {
    const { bench, asked } = countingBench((path) => path !== "/data/3");
    const request = { spec: specification({ mounts }), rootfs: [overlayMount], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({ code: "NotFound" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked.length).toBeLessThan(40);
  });
});

describe("disks", () => {
  it("are attached and mounted in the guest, and mounted from there into the container", async () => {
    const options = ["rbind", "rprivate", "ro", "noatime", "data=ordered"];
    const bench = await created({ destination: "/data", type: "virtual-disk", source: "/disks/link.vhdx", options });
    expect(bench.disks.requests).toEqual([
      {
        disk: { hostPath: "/disks/data.vhdx", readOnly: true, type: "VirtualDisk" },
        mount: { partition: 0, readOnly: true, blockDevice: false, options: ["noatime", "data=ordered"] },
      },
    ]);
    expect(bench.files.granted).toEqual(["/disks/data.vhdx"]);
    expect(guestMounts(bench)).toEqual([
      {
        destination: "/data",
        type: "bind",
        source: "/run/mounts/scsi/disk0",
        options: ["rbind", "rprivate", "ro", "noatime"],
      },
    ]);
  });

  it.each([
    [
      { type: "physical-disk", source: "/disks/raw" },
      { hostPath: "/disks/raw", readOnly: false, type: "PassThru" },
      ["/disks/raw"],
    ],
    [
      { type: "physical-disk", source: "\\\\.\\PHYSICALDRIVE2", options: ["RO"] },
      { hostPath: "\\\\.\\PHYSICALDRIVE2", readOnly: true, type: "PassThru" },
      ["\\\\.\\PHYSICALDRIVE2"],
    ],
    [
      { type: "extensible-virtual-disk", source: "evd://provider/volumes/7" },
      {
        hostPath: "volumes/7",
        readOnly: false,
        type: "ExtensibleVirtualDisk",
        extensibleVirtualDiskType: "provider",
      },
      [],
    ],
  ])("%j is attached as %j", async (mount, disk, granted) => {
    const bench = await created({ destination: "/data", ...mount });
    expect(bench.disks.requests[0]?.disk).toEqual(disk);
    expect(bench.files.granted).toEqual(granted);
    expect(guestMounts(bench)?.[0]).toMatchObject({ type: "bind", source: "/run/mounts/scsi/disk0" });
  });

  it("stay unmounted if the destination asks for a block device", async () => {
    const bench = await created({
      destination: "blockdev:///dev/data",
      type: "virtual-disk",
      source: "/disks/data.vhdx",
      options: ["ro", "noatime"],
    });
    expect(bench.disks.requests[0]?.mount).toEqual({ partition: 0, readOnly: true, blockDevice: true });
    // The guest removes the prefix, and allows the container to use the device.
    expect(guestMounts(bench)).toEqual([
      {
        destination: "blockdev:///dev/data",
        type: "bind",
        source: "/run/mounts/scsi/disk0",
        options: ["rbind", "ro", "noatime"],
      },
    ]);
  });

  it.each([
    [["ro", "rw"], false, ["rbind"]],
    [["rw", "ro"], true, ["rbind", "ro"]],
    [["RO", "bind"], true, ["ro", "bind"]],
    [["rro", "bind"], true, ["ro", "bind"]],
    [[], false, ["rbind"]],
  ])("as block devices with the options %j cross with one access mode", async (options, readOnly, crossed) => {
    const mount = { destination: "blockdev:///dev/data", type: "virtual-disk", source: "/disks/data.vhdx" };
    const bench = await created({ ...mount, options });
    expect(bench.disks.requests[0]?.disk.readOnly).toBe(readOnly);
    expect(guestMounts(bench)?.[0]?.options).toEqual(crossed);
  });

  it("that are managed automatically are removed from the host with the container", async () => {
    const mount = { destination: "/data", type: "automanage-virtual-disk", source: "/disks/data.vhdx" };
    const bench = await created(mount);
    expect(bench.files.kinds.has("/disks/data.vhdx")).toBe(true);
    await bench.controller.delete();
    expect(bench.files.kinds.has("/disks/data.vhdx")).toBe(false);
    expect(bench.leftovers).toEqual([]);
  });

  it("that are managed automatically are removed when the VM is gone, too", async () => {
    const mount = { destination: "/data", type: "automanage-virtual-disk", source: "/disks/data.vhdx" };
    const bench = await created(mount);
    bench.controller.vmExited({ reason: "crash" });
    await bench.controller.delete();
    expect(bench.files.kinds.has("/disks/data.vhdx")).toBe(false);
  });

  it("are detached before their files are removed", async () => {
    const script = new ScriptedCalls();
    const bench = new ContainerBench(script);
    bench.files.kinds.set("/d", "file");
    const mounts = [{ destination: "/data", type: "automanage-virtual-disk", source: "/d" }];
    await bench.created([], specification({ mounts }));
    await bench.controller.delete();
    expect(script.names.indexOf("removeFile")).toBeGreaterThan(script.names.indexOf("unmap disk"));
  });
});

describe("mounts from the guest", () => {
  it.each(["sandbox:///shared/a", "sandbox-tmp://a", "hugepages://2M/a", "uvm:///etc/hosts"])(
    "%s cross unchanged",
    async (source) => {
      const bench = await created({ destination: "/here", type: "bind", source, options: ["rbind", "ro"] });
      expect(guestMounts(bench)).toEqual([{ destination: "/here", type: "bind", source, options: ["rbind", "ro"] }]);
      expect([...bench.disks.requests, ...bench.shares.requests]).toHaveLength(1);
    },
  );

  it("get the bind option if only their type makes them binds", async () => {
    const source = "sandbox://a";
    const bench = await created({ destination: "/here", type: "bind", source, options: ["ro"] });
    expect(guestMounts(bench)).toEqual([{ destination: "/here", type: "bind", source, options: ["rbind", "ro"] }]);
  });

  it("are binds if their options say so", async () => {
    const bench = await created({ destination: "/here", type: "none", source: "sandbox://a", options: ["rbind"] });
    expect(guestMounts(bench)?.[0]).toMatchObject({ type: "bind", source: "sandbox://a" });
  });

  it.each(["tmpfs", "ramfs", "hugetlbfs", "debugfs", "mqueue"])(
    "of type %s come from the guest's kernel, whatever their source on the host",
    async (type) => {
      const bench = await created({ destination: "/here", type, source: "/secret/name", options: ["size=1m"] });
      expect(guestMounts(bench)).toEqual([{ destination: "/here", type, source: type, options: ["size=1m"] }]);
    },
  );
});

describe("an impossible mount", () => {
  const disk = { destination: "/d", type: "virtual-disk" };
  const bind = { destination: "/d", type: "bind" };

  it.each([
    [{ ...disk, source: "/none" }, "NotFound", "mounts[0].source: /none does not exist on the host"],
    [{ ...disk, source: "x.vhd" }, "InvalidArgument", 'mounts[0].source: "x.vhd" is not an absolute path on the host'],
    [disk, "InvalidArgument", 'mounts[0].source: "" is not an absolute path on the host'],
    [{ ...disk, source: "/data" }, "InvalidArgument", "/data is a directory, expected the file of a virtual disk"],
    [
      { ...disk, type: "physical-disk", source: "/disks/data.vhdx" },
      "InvalidArgument",
      "/disks/data.vhdx is a file, expected a block device",
    ],
    [
      { ...disk, type: "physical-disk", source: "/run/socket" },
      "InvalidArgument",
      "/run/socket is something else, expected a block device",
    ],
    [
      { ...disk, type: "extensible-virtual-disk", source: "evd://p" },
      "InvalidArgument",
      'mounts[0].source is "evd://p", expected evd://<provider>/<path>',
    ],
    [
      { ...disk, destination: "blockdev://dev/x", source: "/disks/data.vhdx" },
      "InvalidArgument",
      'mounts[0].destination: "blockdev://dev/x" is not an absolute path',
    ],
    [
      { ...bind, destination: "blockdev:///dev/x", source: "/data" },
      "InvalidArgument",
      "blockdev:///dev/x is for disks only, expected a mount of type virtual-disk, physical-disk",
    ],
    [
      { ...bind, source: "sandbox://../other" },
      "InvalidArgument",
      'mounts[0].source is "sandbox://../other", expected sandbox://<path> without ".."',
    ],
    [{ ...bind, source: "uvm://etc" }, "InvalidArgument", '"uvm://etc", expected uvm://<absolute path of the'],
    [
      { ...bind, source: "hugepages://1G/x" },
      "InvalidArgument",
      '"hugepages://1G/x", expected hugepages://<size>/<location> with a page size of 2M',
    ],
    [{ ...bind, source: "hugepages://2M" }, "InvalidArgument", "expected hugepages://<size>/<location>"],
    [
      { ...bind, source: "\\\\.\\pipe\\x" },
      "InvalidArgument",
      "\\\\.\\pipe\\x is a named pipe, which Linux containers cannot use",
    ],
    [{ destination: "/o", type: "overlay" }, "InvalidArgument", 'mounts[0].type of /o is "overlay"'],
  ])("%j is refused, and leaves nothing behind", async (mount, code, message) => {
    const bench = new ContainerBench();
    bench.files.kinds.set("/disks/data.vhdx", "file").set("/run/socket", "other");
    const request = { spec: specification({ mounts: [mount] }), rootfs: [overlayMount], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(bench.leftovers).toEqual([]);
  });
});

describe("a folder of the host is shared", () => {
  it.each([
    [["rbind", "ro"], "nothing below it", true],
    [["rbind", "ro"], "mounts below it", false],
    [["rbind", "rro"], "nothing below it", true],
    [["rbind", "rro"], "mounts below it", true],
    [["rbind", "rro", "rw"], "mounts below it", true],
    [["rbind", "rro", "rrw"], "nothing below it", false],
    [["rbind", "ro", "rw"], "nothing below it", false],
    [["rbind", "rw", "ro"], "nothing below it", true],
    [["rbind"], "mounts below it", false],
  ])("with options %j and %s: read-only is %s", async (options, below, readOnly) => {
    const bench = new ContainerBench();
    bench.files.kinds.set("/data", "directory");
    if (below === "mounts below it") bench.files.withMountsBelow.add("/data");
    await bench.created(
      [overlayMount],
      specification({ mounts: [{ destination: "/d", type: "bind", source: "/data", options }] }),
    );
    expect(bench.shares.requests.at(-1)).toEqual({ hostPath: "/data", readOnly });
    expect(guestMounts(bench)?.[0]?.options).toEqual(options);
  });

  it("and a disk attached as the last of contradicting options says", async () => {
    const mount = { destination: "/data", type: "virtual-disk", source: "/disks/data.vhdx" };
    const writable = await created({ ...mount, options: ["ro", "rw", "rnosuid"] });
    expect(writable.disks.requests[0]?.disk.readOnly).toBe(false);
    expect(writable.disks.requests[0]?.mount).toEqual({ partition: 0, readOnly: false, blockDevice: false });
    const readOnly = await created({ ...mount, options: ["rw", "ro"] });
    expect(readOnly.disks.requests[0]?.disk.readOnly).toBe(true);
  });
});

describe("a read-only mount at /etc", () => {
  const nothing = (name: string) => ({
    destination: `/etc/${name}`,
    type: "bind",
    source: "/dev/null",
    options: ["bind", "ro"],
  });
  const at = (destination: string, options: readonly string[]) => ({
    destination,
    type: "bind",
    source: "/data",
    options,
  });
  const sent = async (mounts: readonly object[], options: ConstructorParameters<typeof ContainerBench>[1] = {}) => {
    const bench = new ContainerBench(undefined, options);
    bench.files.kinds.set("/data/hosts", "file");
    bench.files.kinds.set("/bundle/resolv.conf", "file");
    await bench.created([overlayMount], specification({ mounts }));
    return bench.guest.settings[0]?.OciSpecification.mounts;
  };
  const share = (index: number, destination: string, options: readonly string[]) => ({
    ...{ destination, type: "bind", source: `/run/mounts/p9/share${index}`, options },
  });

  it.each([["/etc"], ["/etc/"], ["//etc"]])(
    "covers files that the guest could not mount into it: %s",
    async (destination) => {
      const options = ["rbind", "ro"];
      expect(await sent([at(destination, options)])).toEqual([
        ...[nothing("hostname"), nothing("resolv.conf")],
        share(1, destination, options),
      ]);
    },
  );

  it("contains what the container itself mounts into it, and nothing of the pod's", async () => {
    const own = { destination: "/etc/hostname", type: "tmpfs", source: "tmpfs" };
    const options = ["ro"];
    const pod = { resolvConfPath: "/bundle/resolv.conf" };
    const anchor = () => ({ isSandbox: true, pid: 7 });
    expect(await sent([at("/etc", options), own], { pod, anchor })).toEqual([
      nothing("resolv.conf"),
      share(1, "/etc", ["rbind", ...options]),
      own,
    ]);
  });

  it("differs from a writable one, or one elsewhere", async () => {
    expect(await sent([at("/etc", ["rw"])])).toEqual([share(1, "/etc", ["rbind", "rw"])]);
    expect(await sent([at("/etc/ssl", ["ro"])])).toEqual([share(1, "/etc/ssl", ["rbind", "ro"])]);
  });
});
