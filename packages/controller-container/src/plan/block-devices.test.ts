import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, overlayMount, specification } from "../testing/index.ts";

const path = "/dev/xvda";
const disk = { path, type: "b", major: 7, minor: 3 };
const denyAll = { allow: false, access: "rwm" };
const allowAll = { allow: true, access: "rwm" };
const rule = (access: string): object => ({ allow: true, type: "b", major: 7, minor: 3, access });
const workload = {
  "io.kubernetes.cri.container-type": "container",
  "io.kubernetes.cri.sandbox-id": "p1",
};

interface Asked {
  readonly devices?: readonly object[];
  readonly rules?: readonly object[];
  readonly changes?: { readonly [field: string]: unknown };
}

const specificationOf = ({ devices = [disk], rules = [denyAll, rule("rwm")], changes = {} }: Asked): unknown =>
  specification({
    hostname: "",
    annotations: workload,
    mounts: [],
    linux: { devices, resources: { devices: rules } },
    ...changes,
  });

function benchWithDisk(): ContainerBench {
  const bench = new ContainerBench();
  bench.files.kinds.set("/dev/loop3", "block");
  bench.files.blockDevices.set("7:3", "/dev/loop3");
  return bench;
}

const created = (asked: Asked): Promise<ContainerBench> =>
  benchWithDisk().created([overlayMount], specificationOf(asked));
const sent = (bench: ContainerBench) => bench.guest.settings[0]?.OciSpecification;

describe("a block device of the host", () => {
  it("is attached as a disk and appears at the requested path", async () => {
    const bench = await created({});
    expect(bench.disks.requests).toEqual([
      {
        disk: { hostPath: "/dev/loop3", readOnly: false, type: "PassThru" },
        mount: { partition: 0, readOnly: false, blockDevice: true },
      },
    ]);
    expect(bench.files.granted).toEqual(["/dev/loop3"]);
    expect(sent(bench)?.mounts).toEqual([
      { destination: `blockdev://${path}`, type: "bind", source: "/run/mounts/scsi/disk0", options: ["bind"] },
    ]);
    expect(sent(bench)?.linux?.devices).toEqual([]);
    expect(bench.warnings).toEqual([]);
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it.each([[[denyAll, rule("r")]], [[denyAll, rule("mr")]], [[denyAll, rule("rw"), { ...rule("w"), allow: false }]]])(
    "is attached read-only if the rules are %j",
    async (rules) => {
      const bench = await created({ rules });
      expect(bench.disks.requests[0]?.disk.readOnly).toBe(true);
      expect(sent(bench)?.mounts?.[0]?.options).toEqual(["ro", "bind"]);
    },
  );

  it.each([
    [[denyAll], "nothing"],
    [[denyAll, rule("w")], '"w"'],
    [[rule("rw"), denyAll], "nothing"],
  ])("is refused if the rules are %j", async (rules, given) => {
    const bench = benchWithDisk();
    const creating = bench.controller.create({
      spec: specificationOf({ rules }),
      rootfs: [overlayMount],
      stdio: noStdio,
    });
    await expect(creating).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`linux.devices[0]: linux.resources.devices allow ${given} of b 7:3`),
    });
    expect(bench.leftovers).toEqual([]);
  });

  it("comes after the mounts of the specification, which may cover its folder", async () => {
    const mounts = [{ destination: "/dev", type: "tmpfs", source: "tmpfs" }];
    const bench = await created({ changes: { mounts } });
    expect(sent(bench)?.mounts?.map(({ destination }) => destination)).toEqual(["/dev", `blockdev://${path}`]);
  });

  it("leaves devices that the host does not have or that are no disks to the guest", async () => {
    const others = [
      { path: "/dev/fuse", type: "c", major: 10, minor: 229 },
      { path: "/dev/none", type: "b", major: 7, minor: 4 },
      { path: "/dev/unnumbered", type: "b" },
    ];
    const bench = await created({ devices: [...others, disk] });
    expect(sent(bench)?.linux?.devices).toEqual(others);
    expect(bench.disks.requests).toHaveLength(1);
  });

  it("is attached under another name than on the host for a container that may use all devices", async () => {
    const devices = [disk, { ...disk, path: "/dev/loop3" }];
    const bench = await created({ devices, rules: [allowAll] });
    expect(bench.disks.requests.map((request) => request.disk.hostPath)).toEqual(["/dev/loop3"]);
    expect(sent(bench)?.mounts?.map(({ destination }) => destination)).toEqual([`blockdev://${path}`]);
    expect(sent(bench)?.linux).toMatchObject({ resources: { devices: [allowAll] } });
    expect(sent(bench)?.linux?.devices).toBeUndefined();
  });

  it.each([
    [{ uid: 1000 }, "uid 1000 has no effect"],
    [{ gid: 6 }, "gid 6 has no effect"],
    [{ fileMode: 0o660 }, "fileMode 0660 has no effect"],
    [{ uid: 0, gid: 6, fileMode: 0o660 }, "gid 6, fileMode 0660 have no effect"],
    [{ uid: 1, gid: 6, fileMode: 0o666 }, "uid 1, gid 6, fileMode 0666 have no effect"],
  ])(
    "belongs to root in the guest, with a warning for each field that asks for something else: %j",
    async (more, said) => {
      const bench = await created({ devices: [{ ...disk, ...more }] });
      expect(bench.warnings).toEqual([
        `config.json: linux.devices[0]: ${said}: /dev/xvda is a disk of the guest, which only root can open`,
      ]);
    },
  );

  it("warns of a process with another user, and not of fields that are absent or have no effect", async () => {
    const process = { args: ["true"], cwd: "/", user: { uid: 5, gid: 5 } };
    const bench = await created({
      devices: [{ ...disk, uid: 0, gid: 0, fileMode: 0o600 }],
      changes: { process },
    });
    expect(bench.warnings).toEqual([
      "config.json: linux.devices[0]: the container's user 5 cannot open it: /dev/xvda is a disk of the guest, which only root can open",
    ]);
  });

  it("is not attached for a standalone container, since guests show it no devices", async () => {
    const bench = await created({ changes: { annotations: {} } });
    expect(bench.disks.requests).toEqual([]);
    expect(bench.warnings).toEqual(["linux.devices has no effect: the guest supports it only for containers of a pod"]);
  });
});
