import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ContainerBench, imageMount, layersMount, noStdio, overlayMount, specification } from "./testing/index.ts";

const allowAll = { allow: true, access: "rwm" };

const rejection = async (bench: ContainerBench, spec: unknown, rootfs = [overlayMount]): Promise<unknown> => {
  const failure = await bench.controller.create({ spec, rootfs, stdio: noStdio }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(bench.leftovers).toEqual([]);
  expect(bench.controller.state).toBe("Invalid");
  return failure;
};

describe("root file system", () => {
  it("of layers: each a SCSI disk, topmost first, combined with the container's own scratch directory", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).created([layersMount]);
    expect(bench.disks.requests).toEqual([
      {
        disk: { hostPath: "/snapshots/2/layer.vhd", readOnly: true, type: "VirtualDisk" },
        mount: { partition: 0, readOnly: true, options: ["ro"] },
      },
      {
        disk: { hostPath: "/snapshots/1/layer.vhd", readOnly: true, type: "VirtualDisk" },
        mount: { partition: 0, readOnly: true, options: ["ro"] },
      },
      {
        disk: { hostPath: "/snapshots/3/sandbox.vhdx", readOnly: false, type: "VirtualDisk" },
        mount: { partition: 0, readOnly: false, ensureFilesystem: true, filesystem: "ext4" },
      },
    ]);
    expect(bench.files.granted).toEqual(["/snapshots/3/sandbox.vhdx"]);
    expect(bench.guest.combinations).toEqual([
      {
        ContainerID: "c1",
        ContainerRootPath: "/run/gcs/pods/p1/c1/rootfs",
        Layers: [{ Path: "/run/mounts/scsi/disk0" }, { Path: "/run/mounts/scsi/disk1" }],
        ScratchPath: "/run/mounts/scsi/disk2/scratch/p1/c1",
      },
    ]);
    expect(bench.guest.settings[0]).toMatchObject({
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: "/run/gcs/pods/p1/c1",
      ScratchDirPath: "/run/mounts/scsi/disk2/scratch/p1/c1",
      OciSpecification: { root: { path: "/run/gcs/pods/p1/c1/rootfs" } },
    });
  });

  it("of layers accepts a VHD as scratch disk", async () => {
    const bench = new ContainerBench();
    bench.files.kinds.set("/snapshots/3/sandbox.vhd", "file");
    await bench.created([layersMount]);
    expect(bench.disks.requests.at(-1)?.disk.hostPath).toBe("/snapshots/3/sandbox.vhd");
  });

  it("of read-only layers has no scratch disk", async () => {
    const options = ["ro", 'parentLayerPaths=["/snapshots/1"]'];
    const bench = await new ContainerBench().created([{ ...layersMount, options }]);
    expect(bench.disks.requests).toHaveLength(1);
    // Files that are written into every root are kept in the VM's memory.
    expect(bench.guest.combinations[0]?.ScratchPath).toBe("/run/gcs/pods/p1/c1/scratch/c1");
    expect(bench.guest.settings[0]?.OciSpecification.root?.readonly).toBe(true);
  });

  it.each([
    [["rw"], "InvalidArgument", /lcow-layer \/snapshots\/3: expected option parentLayerPaths=.*got none/],
    [["parentLayerPaths=["], "InvalidArgument", /got invalid JSON/],
    [["parentLayerPaths=[]"], "InvalidArgument", /1 to 500 absolute paths, got parentLayerPaths=\[\]/],
    [['parentLayerPaths=["1"]'], "InvalidArgument", /absolute paths/],
    [['parentLayerPaths=["/gone"]'], "NotFound", /layer \/gone\/layer.vhd does not exist/],
  ])("of layers with options %j is refused", async (options, code, message) => {
    const failure = await rejection(new ContainerBench(), specification(), [{ ...layersMount, options }]);
    expect(failure).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("of layers is refused without its scratch disk, or with other mounts", async () => {
    const bench = new ContainerBench();
    bench.files.kinds.delete("/snapshots/3/sandbox.vhdx");
    expect(await rejection(bench, specification(), [layersMount])).toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("scratch disk /snapshots/3/sandbox.vhdx does not exist"),
    });
    expect(await rejection(new ContainerBench(), specification(), [overlayMount, layersMount])).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("expected a single lcow-layer mount, got 2 mounts"),
    });
  });

  it("of a block image is the disk itself", async () => {
    const bench = await new ContainerBench().created([imageMount]);
    expect(bench.disks.requests).toEqual([
      {
        disk: { hostPath: "/images/7.img", readOnly: false, type: "VirtualDisk" },
        mount: { partition: 0, readOnly: false, filesystem: "ext4", options: ["noatime"] },
      },
    ]);
    expect(bench.guest.settings[0]).toMatchObject({
      ScratchDirPath: "",
      OciSpecification: { root: { path: "/run/mounts/scsi/disk0" } },
    });
  });

  it("of a block device or a read-only file system is attached as such", async () => {
    const bench = new ContainerBench();
    bench.files.kinds.set("/dev/mapper/x", "block");
    await bench.created([{ type: "erofs", source: "/dev/mapper/x", options: [] }]);
    expect(bench.disks.requests[0]).toMatchObject({
      disk: { readOnly: true, type: "PassThru" },
      mount: { readOnly: true },
    });
    expect(await rejection(new ContainerBench(), specification(), [{ ...imageMount, source: "/none" }])).toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("ext4 image /none is missing"),
    });
  });

  it("of other mounts is mounted by the host and shared, writable even for a read-only root", async () => {
    const script = new ScriptedCalls();
    const spec = specification({ root: { path: "rootfs", readonly: true } });
    const bench = await new ContainerBench(script).created([overlayMount], spec);
    expect(script.names).toEqual(["mountAll", "map share", "createContainer", "openStdio", "processIds"]);
    expect(bench.shares.requests).toEqual([{ hostPath: "/bundle/rootfs", readOnly: false }]);
    expect(bench.guest.settings[0]?.OciSpecification.root).toEqual({ path: "/run/mounts/p9/share0", readonly: true });
  });

  it("without mounts is the directory that the specification names", async () => {
    const bench = new ContainerBench();
    await bench.created([]);
    expect(bench.files.mounted.size).toBe(0);
    expect(bench.shares.requests).toEqual([{ hostPath: "/bundle/rootfs", readOnly: false }]);
    expect(await rejection(new ContainerBench(), specification({ root: { path: "/none" } }), [])).toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("root.path /none is missing"),
    });
  });
});

describe("mounts", () => {
  it("shares host directories, and single files only through their directory", async () => {
    const mounts = [
      { destination: "/data", type: "bind", source: "/data", options: ["rbind", "ro"] },
      { destination: "/etc/resolv.conf", source: "/etc/resolv.conf", options: ["bind"] },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=1m"] },
    ];
    const bench = await new ContainerBench().created([overlayMount], specification({ mounts }));
    expect(bench.shares.requests.slice(1)).toEqual([
      { hostPath: "/data", readOnly: true },
      { hostPath: "/run/resolved", readOnly: false, allowedFiles: ["stub.conf"] },
    ]);
    expect(bench.guest.settings[0]?.OciSpecification.mounts).toEqual([
      { destination: "/data", type: "bind", source: "/run/mounts/p9/share1", options: ["rbind", "ro"] },
      { destination: "/etc/resolv.conf", type: "bind", source: "/run/mounts/p9/share2/stub.conf", options: ["bind"] },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=1m"] },
    ]);
  });

  it.each([
    [
      { destination: "data", type: "tmpfs" },
      "InvalidArgument",
      'mounts[0].destination: "data" is not an absolute path',
    ],
    [{ destination: "/x", type: "nfs", source: "h:/" }, "InvalidArgument", 'mounts[0].type of /x is "nfs"'],
    [{ destination: "/x" }, "InvalidArgument", 'mounts[0].type of /x is ""'],
    [
      { destination: "/x", type: "bind", source: "x" },
      "InvalidArgument",
      'mounts[0].source: "x" is not an absolute path',
    ],
    [{ destination: "/x", type: "bind", source: "/none" }, "NotFound", "mounts[0].source: /none does not exist"],
    [{ destination: "/x", type: "bind", source: "/dev/null" }, "InvalidArgument", "/dev/null is neither a file"],
  ])("refuses %j", async (mount, code, message) => {
    const bench = new ContainerBench();
    bench.files.kinds.set("/dev/null", "other");
    expect(await rejection(bench, specification({ mounts: [mount] }))).toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});

describe("devices", () => {
  const withDevices = (...devices: readonly object[]) => specification({ windows: { devices } });

  it("are assigned to the VM, and the guest gets their VMBus GUIDs", async () => {
    const script = new ScriptedCalls();
    const bench = new ContainerBench(script, { propagateNumaAffinity: true });
    const devices = withDevices(
      { id: "PCIP\\VEN_10DE&DEV_1EB8", idType: "gpu" },
      { id: "PCIP\\VEN_10DE&DEV_1EB8/3", idType: "vpci-instance-id" },
      { id: "PCIP\\VEN_10DE&DEV_1EB8\\4", idType: "gpu" },
      { id: "PCIP\\VEN_1/x", idType: "vpci" },
    );
    await bench.created([overlayMount], devices);
    expect(bench.devices.requests).toEqual([
      { deviceInstancePath: "PCIP\\VEN_10DE&DEV_1EB8", virtualFunction: 0, propagateNumaAffinity: true },
      { deviceInstancePath: "PCIP\\VEN_10DE&DEV_1EB8", virtualFunction: 3, propagateNumaAffinity: true },
      { deviceInstancePath: "PCIP\\VEN_10DE&DEV_1EB8", virtualFunction: 4, propagateNumaAffinity: true },
      { deviceInstancePath: "PCIP\\VEN_1/x", virtualFunction: 0, propagateNumaAffinity: true },
    ]);
    expect(script.names.slice(-7)).toEqual([
      ...Array(4).fill("map device"),
      "createContainer",
      "openStdio",
      "processIds",
    ]);
    expect(bench.guest.settings[0]?.OciSpecification.windows).toEqual({
      devices: [
        { id: "guid of/device0", idType: "gpu" },
        { id: "guid of/device1", idType: "vpci-instance-id" },
        { id: "guid of/device2", idType: "gpu" },
        { id: "guid of/device3", idType: "vpci" },
      ],
    });
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it("are requested without a virtual node if the VM has no nodes", async () => {
    const bench = await new ContainerBench().created([overlayMount], withDevices({ id: "PCIP\\A", idType: "vpci" }));
    expect(bench.devices.requests).toEqual([{ deviceInstancePath: "PCIP\\A", virtualFunction: 0 }]);
  });

  it("are released when a later one cannot be assigned", async () => {
    const bench = new ContainerBench(new ScriptedCalls(new Map([[3, "fail"]])));
    const devices = withDevices({ id: "A", idType: "vpci" }, { id: "B", idType: "vpci" });
    expect(await rejection(bench, devices)).toMatchObject({ code: "Unavailable" });
    expect(bench.devices.requests).toHaveLength(2);
  });

  it.each([
    [[{ id: "A", idType: "class" }], 'windows.devices[0].idType of device A is "class", expected one of vpci-i'],
    [[{ id: "A", idType: "" }], 'windows.devices[0].idType of device A is ""'],
    [[{ id: "", idType: "vpci" }], 'windows.devices[0].id is "", expected a device instance path'],
    [[{ id: "/1", idType: "vpci" }], 'windows.devices[0].id is "/1"'],
    [[{ id: "A/65536", idType: "vpci" }], 'windows.devices[0].id is "A/65536"'],
    [
      [
        { id: "A/0", idType: "vpci" },
        { id: "B", idType: "gpu" },
        { id: "a", idType: "gpu" },
      ],
      "windows.devices[2].id: a/0 is listed twice, first as entry 0",
    ],
  ])("%j are refused, and nothing is acquired", async (devices, message) => {
    const script = new ScriptedCalls();
    expect(await rejection(new ContainerBench(script), withDevices(...devices))).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`config.json: ${message}`),
    });
    expect(script.calls).toEqual([]);
  });
});

// Comparing every pair would exceed the test timeout.
it("thousands of devices are compared", { timeout: 5000 }, async () => {
  const devices = Array.from({ length: 20_000 }, (_, index) => ({ id: `PCIP\\VEN_${index}`, idType: "vpci" }));
  const given = [...devices, { id: "PCIP\\ven_19999", idType: "vpci" }];
  expect(await rejection(new ContainerBench(), specification({ windows: { devices: given } }))).toMatchObject({
    message: expect.stringContaining(
      "windows.devices[20000].id: PCIP\\ven_19999/0 is listed twice, first as entry 19999",
    ),
  });
});

describe("specification", () => {
  it.each([
    [undefined, "config.json: expected an object, got nothing"],
    [specification({ process: undefined }), "process is missing"],
    [specification({ process: { cwd: "/", args: [] } }), "process.args: expected a command, got an empty one"],
    [
      specification({ process: { cwd: "/", args: "sh" } }),
      "process.args: expected a list, got a string of 2 characters",
    ],
    [specification({ process: { cwd: "bin", args: ["sh"] } }), 'process.cwd: "bin" is not an absolute path'],
    [specification({ root: undefined }), "root is missing"],
    [specification({ root: { path: "" } }), "root.path is empty"],
    [specification({ linux: undefined }), "linux is missing"],
    [
      specification({ linux: { resources: { devices: [{ allow: 1 }] } } }),
      "linux.resources.devices[0].allow: expected true or false, got 1",
    ],
    [specification({ linux: [] }), "linux: expected an object, got a list"],
  ])("%# is refused by the name of its field", async (spec, message) => {
    expect(await rejection(new ContainerBench(), spec)).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/^create container c1: config\.json: /),
    });
    expect(await rejection(new ContainerBench(), spec)).toMatchObject({ message: expect.stringContaining(message) });
  });

  it("refuses an id that could leave its directory in the guest", async () => {
    const bench = new ContainerBench(undefined, { id: "../c1" });
    expect(await rejection(bench, specification())).toMatchObject({ code: "InvalidArgument" });
  });

  it("crosses by allow-list", async () => {
    const spec = specification({
      hooks: { prestart: [{ path: "/bin/host" }] },
      windows: { network: { networkNamespace: "x" } },
      secretExtension: true,
      annotations: {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-id": "other",
        "com.example.token": "canary",
      },
      process: {
        args: ["sh"],
        cwd: "/",
        env: ["A=1"],
        apparmorProfile: "cri-containerd.apparmor.d",
        selinuxLabel: "system_u",
        capabilities: { bounding: ["CAP_KILL"] },
        rlimits: [{ type: "RLIMIT_CORE", hard: 2 ** 64, soft: 0 }],
        terminal: true,
      },
      linux: {
        cgroupsPath: "/default/c1",
        mountLabel: "system_u",
        namespaces: [{ type: "pid" }, { type: "uts" }, { type: "ipc", path: "/proc/1/ns/ipc" }],
        resources: {
          memory: { limit: 1 },
          cpu: { shares: 2, period: 0, quota: 0 },
          pids: { limit: 3 },
          devices: [{ allow: false }],
          blockIO: { weight: 1 },
        },
        seccomp: { defaultAction: "SCMP_ACT_ERRNO" },
        sysctl: { "net.ipv4.ip_forward": "1" },
        maskedPaths: ["/proc/kcore"],
      },
    });
    const bench = await new ContainerBench().created([overlayMount], spec);
    expect(bench.guest.settings[0]?.OciSpecification).toEqual({
      ociVersion: "1.0.2",
      process: {
        args: ["sh"],
        cwd: "/",
        env: ["A=1"],
        capabilities: { bounding: ["CAP_KILL"] },
        rlimits: [{ type: "RLIMIT_CORE", hard: 2 ** 64, soft: 0 }],
        terminal: false,
      },
      root: { path: "/run/mounts/p9/share0" },
      mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
      annotations: { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "p1" },
      linux: {
        namespaces: [{ type: "pid" }, { type: "uts" }, { type: "ipc", path: "/proc/1/ns/ipc" }],
        resources: { memory: { limit: 1 }, cpu: { shares: 2, period: 100_000 }, pids: { limit: 3 } },
        seccomp: { defaultAction: "SCMP_ACT_ERRNO" },
        sysctl: { "net.ipv4.ip_forward": "1" },
        maskedPaths: ["/proc/kcore"],
      },
      windows: { network: { networkNamespace: "x" } },
    });
  });

  it.each([
    [{ hostname: "h".repeat(65) }, "hostname is"],
    [{ domainname: "d".repeat(65) }, "domainname has 65 bytes, expected at most 64"],
    [
      { linux: { namespaces: [{ type: "pid" }, { type: "user" }] } },
      'linux.namespaces[1].type is "user", expected any other',
    ],
    [{ linux: { namespaces: [{ type: "time" }] } }, 'linux.namespaces[0].type is "time", expected any other'],
    [{ linux: { resources: { memory: { limit: 2 ** 64 } } } }, "linux.resources.memory.limit: expected"],
    [{ linux: { resources: { memory: { swappiness: 101 } } } }, "linux.resources.memory.swappiness: expected 0 to 100"],
    [
      { mounts: [{ destination: "/a\0b", type: "tmpfs" }] },
      "config.json: mounts[0].destination: expected text without",
    ],
    [
      { mounts: [{ destination: "/a", type: "tmpfs", options: ["x\0"] }] },
      "mounts[0].options[0]: expected text without",
    ],
    [{ linux: { sysctl: { "a\0": "1" } } }, 'linux.sysctl: expected text without NUL, got "a\\u0000"'],
    [{ linux: { maskedPaths: ["/x\0"] } }, "config.json: linux.maskedPaths[0]: expected text without NUL"],
  ])("is refused if no guest kernel supports it: %j", async (changes, message) => {
    const bench = new ContainerBench();
    const request = { spec: specification(changes), rootfs: [overlayMount], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ["long names", 3000, "k".repeat(1000)],
    ["short ones", 100_000, "k"],
  ])("is read even if ignored fields are nested thousands deep, with %s", async (_, depth, name) => {
    const nested = (end: string): unknown => JSON.parse(`${`{"${name}":`.repeat(depth)}"${end}"${"}".repeat(depth)}`);
    expect(await rejection(new ContainerBench(), specification({ hooks: nested("x\\u0000") }))).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/config\.json: …(\.k{1,60}){16}: expected text without NUL, got 2 characters/),
    });
    await new ContainerBench().created([overlayMount], specification({ hooks: nested("x") }));
  });

  it.each([-1, 0])("sets no CPU limit for a quota of %i", async (quota) => {
    const spec = specification({ linux: { resources: { cpu: { quota, period: 100_000 } } } });
    const bench = await new ContainerBench().created([overlayMount], spec);
    expect(bench.guest.settings[0]?.OciSpecification.linux?.resources).toEqual({ cpu: { period: 100_000 } });
  });

  it("has the oldest version that has its fields", async () => {
    const spec = specification({ domainname: "example", linux: { namespaces: [{ type: "uts" }] } });
    const bench = await new ContainerBench().created([overlayMount], spec);
    expect(bench.guest.settings[0]?.OciSpecification).toMatchObject({ ociVersion: "1.1.0", domainname: "example" });
  });

  it("leaves seccomp out for a privileged container", async () => {
    const spec = specification({
      annotations: { "io.microsoft.virtualmachine.lcow.privileged": "true" },
      linux: { seccomp: { defaultAction: "SCMP_ACT_ERRNO" } },
    });
    const bench = await new ContainerBench().created([overlayMount], spec);
    expect(bench.guest.settings[0]?.OciSpecification.linux).toEqual({ resources: { devices: [allowAll] } });
  });

  it("always has resources, since the guest adds to them", async () => {
    const bench = await new ContainerBench().created([overlayMount], specification({ linux: {} }));
    expect(bench.guest.settings[0]?.OciSpecification.linux).toEqual({ resources: {} });
  });

  it("allows all devices of the guest to a container that may use all of the host, without the host's nodes", async () => {
    const devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }];
    const given = { devices, resources: { devices: [{ allow: false, access: "rwm" }, allowAll] } };
    const privileged = await new ContainerBench().created([overlayMount], specification({ linux: given }));
    expect(privileged.guest.settings[0]?.OciSpecification.linux).toEqual({ resources: { devices: [allowAll] } });
    const plain = await new ContainerBench().created([overlayMount], specification({ linux: { devices } }));
    expect(plain.guest.settings[0]?.OciSpecification.linux).toEqual({ devices, resources: {} });
  });
});
