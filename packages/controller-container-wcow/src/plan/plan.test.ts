import { posixPaths } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { PlanBench } from "../testing/planning.ts";

const policyOptions = { vm: { isConfidential: true } };

describe("layers", () => {
  const noFolders = { windows: { layerFolders: null } };

  it("are folders of the host, with a scratch disk over them", async () => {
    const root = {
      kind: "folders",
      layers: ["C:\\layers\\base"],
      scratch: { hostPath: "C:\\layers\\ctr\\sandbox.vhdx", format: false },
    };
    expect((await new PlanBench().plan()).root).toEqual(root);
    const mount = {
      type: "windows-layer",
      source: "C:\\layers\\ctr",
      options: ["rw", 'parentLayerPaths=["C:\\\\layers\\\\base"]'],
    };
    expect((await new PlanBench().plan(noFolders, [mount])).root).toEqual(root);
  });

  it("have a scratch disk made where there is none", async () => {
    const windows = { layerFolders: ["C:\\layers\\base", "C:\\layers\\new"] };
    expect((await new PlanBench().plan({ windows })).root).toMatchObject({
      scratch: {
        hostPath: "C:\\layers\\new\\sandbox.vhdx",
        missing: { folder: "C:\\layers\\new", parents: ["C:\\layers\\base"] },
      },
    });
  });

  it.each([
    [{}, false],
    [policyOptions, true],
  ])("in block CIMs are disks, the merged one first, with %j", async (options, format) => {
    const cim = (number: number) => `"C:\\\\snapshots\\\\${number}\\\\layer.bcim\\\\layer.cim"`;
    const mount = {
      type: "BlockCIM",
      source: "C:\\layers\\ctr",
      options: [
        `parentCimPaths=[${cim(2)},${cim(1)}]`,
        "blockCIMType=file",
        "mergedCIMPath=C:\\snapshots\\3\\merged.bcim\\merged.cim",
      ],
    };
    expect((await new PlanBench().with(options).plan(noFolders, [mount])).root).toEqual({
      kind: "block-cims",
      cims: [
        { hostPath: "C:\\snapshots\\3\\merged.bcim", type: "VirtualDisk", cimName: "merged.cim" },
        { hostPath: "C:\\snapshots\\2\\layer.bcim", type: "VirtualDisk", cimName: "layer.cim" },
        { hostPath: "C:\\snapshots\\1\\layer.bcim", type: "VirtualDisk", cimName: "layer.cim" },
      ],
      scratch: { hostPath: "C:\\layers\\ctr\\sandbox.vhdx", format },
    });
  });

  it("in block devices are looked for by nobody", async () => {
    const options = ['parentCimPaths=["\\\\\\\\.\\\\PHYSICALDRIVE3\\\\layer.cim"]', "blockCIMType=device"];
    const mount = { type: "BlockCIM", source: "C:\\layers\\ctr", options };
    expect((await new PlanBench().plan(noFolders, [mount])).root).toMatchObject({
      cims: [{ hostPath: "\\\\.\\PHYSICALDRIVE3", type: "PassThru", cimName: "layer.cim" }],
    });
  });

  it.each([
    ["C:\\root", [{ path: "C:\\layers\\base" }]],
    ["\\\\?\\Volume{4C7AF7DE-23C8-4F56-B00D-7017EBB16FE1}\\", [{ path: "C:\\layers\\base" }]],
  ])("are mounted already with the root %s", async (path, layers) => {
    expect((await new PlanBench().plan({ root: { path } })).root).toEqual({ kind: "mounted", path, layers });
  });

  it("are mounted where root.path is none of Windows", async () => {
    expect((await new PlanBench().plan({ root: { path: "rootfs" } })).root).toMatchObject({ kind: "folders" });
  });

  it("of CIMs that are mounted already are the volume", async () => {
    const path = "\\\\?\\Volume{4C7AF7DE-23C8-4F56-B00D-7017EBB16FE1}\\";
    const options = ['parentCimPaths=["C:\\\\a\\\\b.cim"]', "blockCIMType=file"];
    const mount = { type: "BlockCIM", source: "C:\\layers\\ctr", options };
    const plan = await new PlanBench().plan({ ...noFolders, root: { path } }, [mount]);
    expect(plan.root).toMatchObject({ layers: [{ path, id: "4C7AF7DE-23C8-4F56-B00D-7017EBB16FE1" }] });
  });
});

describe("mounts", () => {
  const of = async (mount: object, bench = new PlanBench()) => await bench.plan({ mounts: [mount] });

  it.each<[object, object]>([
    [
      { source: "C:/data/", destination: "C:\\in", options: ["RO"] },
      { kind: "share", hostPath: "C:\\data", what: "directory", readOnly: true, containerPath: "C:\\in" },
    ],
    [
      { source: "C:\\data\\file.txt", destination: "/etc/file.txt", options: ["rw", "rbind"] },
      { kind: "share", hostPath: "C:\\data\\file.txt", what: "file", readOnly: false, containerPath: "/etc/file.txt" },
    ],
    [
      { source: "\\\\.\\pipe\\a\\b", destination: "\\\\.\\pipe\\c" },
      { kind: "host-pipe", hostPath: "\\\\.\\pipe\\a\\b", pipeName: "c" },
    ],
    [
      { source: "//?/PIPE/a", destination: "\\\\?\\pipe\\c", options: ["ro"] },
      { kind: "host-pipe", hostPath: "\\\\.\\pipe\\a", pipeName: "c" },
    ],
    [
      { source: "uvm://\\\\.\\pipe\\a", destination: "\\\\.\\pipe\\c" },
      { kind: "guest-pipe", guestPath: "\\\\.\\pipe\\pod\\a", pipeName: "c" },
    ],
    [
      { source: "sandbox:///a//./x/../b c", destination: "D:" },
      { kind: "guest-folder", guestPath: "C:\\SandboxMounts\\a\\b c", readOnly: false, containerPath: "D:" },
    ],
    [
      { source: "\\\\.\\PHYSICALDRIVE3", destination: "C:\\in", type: "physical-disk" },
      {
        kind: "disk",
        disk: { hostPath: "\\\\.\\PHYSICALDRIVE3", readOnly: false, type: "PassThru" },
        needsGrant: true,
      },
    ],
    [
      { source: "C:\\data\\disk.vhdx", destination: "C:\\in", type: "virtual-disk", options: ["ro"] },
      {
        kind: "disk",
        disk: { hostPath: "C:\\data\\disk.vhdx", readOnly: true, type: "VirtualDisk" },
        needsGrant: true,
      },
    ],
    [
      { source: "evd://p/x/y", destination: "C:\\in", type: "extensible-virtual-disk" },
      {
        kind: "disk",
        disk: { hostPath: "x/y", readOnly: false, type: "ExtensibleVirtualDisk", extensibleVirtualDiskType: "p" },
        needsGrant: false,
      },
    ],
  ])("%j", async (mount, plan) => {
    expect((await of(mount)).mounts).toEqual([expect.objectContaining(plan)]);
  });

  it("name each folder of the guest once, and none that a confidential guest makes", async () => {
    const mounts = ["a", "/a", "b"].map((path) => ({ source: `sandbox://${path}`, destination: "C:\\in" }));
    expect((await new PlanBench().plan({ mounts })).guestFolders).toEqual([
      "C:\\SandboxMounts\\a",
      "C:\\SandboxMounts\\b",
    ]);
    expect((await new PlanBench().with(policyOptions).plan({ mounts })).guestFolders).toEqual([]);
  });

  it("warn of options without effect", async () => {
    const bench = new PlanBench();
    await of({ source: "C:\\data", destination: "C:\\in", options: ["noexec"] }, bench);
    expect(bench.warnings).toEqual(['config.json: mounts[0].options: "noexec" has no effect on a Windows container']);
  });

  it("of a Linux host have its paths, and the guest's are Windows'", async () => {
    const bench = new PlanBench().with({ paths: posixPaths, pathGrammar: "posix" });
    bench.files.kinds.set("/layers/base", "directory").set("/run/x/rootfs", "directory").set("/data", "directory");
    const windows = { layerFolders: ["/layers/base", "/layers/ctr"] };
    const plan = await bench.plan({
      windows,
      root: { path: "/run/x/rootfs" },
      mounts: [{ source: "/data/", destination: "C:\\in" }],
    });
    expect(plan.root).toMatchObject({ layers: ["/layers/base"], scratch: { hostPath: "/layers/ctr/sandbox.vhdx" } });
    expect(plan.mounts).toMatchObject([{ hostPath: "/data", containerPath: "C:\\in" }]);
  });
});

describe("drivers and devices", () => {
  it("are planned with the tool that finds devices in the guest", async () => {
    const annotations = { "io.microsoft.virtualmachine.kerneldrivers": "C:\\drivers,C:/data/" };
    const devices = ["vpci-instance-id", "vpci", "gpu"].map((idType, index) => ({ id: `PCIP\\A/${index}`, idType }));
    expect(await new PlanBench().plan({ annotations, windows: { devices } })).toMatchObject({
      drivers: ["C:\\drivers", "C:\\data"],
      devices: [0, 1, 2].map((virtualFunction) => ({ deviceInstancePath: "PCIP\\A", virtualFunction })),
      deviceUtilPath: "C:\\shim\\device-util.exe",
    });
    expect(await new PlanBench().plan()).toMatchObject({ drivers: [], devices: [], deviceUtilPath: undefined });
  });
});

describe("networks", () => {
  it.each<[object | undefined, object]>([
    [undefined, { kind: "none" }],
    [
      { networkNamespace: "n", endpointList: ["e"] },
      { kind: "existing", namespace: "n" },
    ],
    [{ endpointList: ["e"] }, { kind: "unnamed", endpoints: ["e"] }],
    [{}, { kind: "unnamed", endpoints: [] }],
    [{ networkSharedContainerName: "c" }, { kind: "unnamed", endpoints: [] }],
    [{ networkNamespace: "/run/netns/x" }, { kind: "existing", namespace: "/run/netns/x" }],
  ])("%j: %j", async (network, plan) => {
    expect((await new PlanBench().plan({ windows: { network } })).network).toEqual(plan);
  });

  it("that a host of Linux names by their path get the id of the pod's", async () => {
    const bench = new PlanBench().with({ paths: posixPaths, pathGrammar: "posix" });
    bench.files.kinds.set("/a", "directory").set("/b", "directory");
    const networks = ["/run/netns/x", "11111111-2222-4333-8444-555555555555"].map((networkNamespace) =>
      bench.plan({ windows: { layerFolders: ["/a", "/b"], network: { networkNamespace } } }),
    );
    expect((await Promise.all(networks)).map(({ network }) => network)).toEqual([
      { kind: "unnamed", endpoints: [] },
      { kind: "existing", namespace: "11111111-2222-4333-8444-555555555555" },
    ]);
  });
});

describe("annotations", () => {
  const hostProcess = "microsoft.com/hostprocess-container";
  const inherit = "microsoft.com/hostprocess-inherit-user";
  const location = "microsoft.com/hostprocess-rootfs-location";

  it("of host processes come with the pod, in the spelling that guests know", async () => {
    const bench = new PlanBench().with({ podAnnotations: { [inherit]: "1", [location]: "C:\\pods" } });
    const plan = await bench.plan({ annotations: { [hostProcess]: "True", [location]: "C:\\mine" } });
    expect(plan.isHostProcess).toBe(true);
    expect(plan.annotations).toMatchObject({ [hostProcess]: "true", [inherit]: "true", [location]: "C:\\pods" });
  });

  it("make nobody else the system's account", async () => {
    const bench = new PlanBench().with({ podAnnotations: { [inherit]: "true" } });
    expect((await bench.plan()).annotations).not.toHaveProperty([inherit]);
    expect((await bench.plan({ annotations: { [inherit]: "true" } })).annotations).toHaveProperty([inherit], "false");
  });

  it("are those of options too, where the specification has none", async () => {
    const runtimeOptions = {
      sandboxIsolation: "HYPERVISOR",
      bootFilesRootPath: "C:\\boot",
      vmProcessorCount: 3,
      vmMemorySizeInMb: 2048,
      defaultContainerAnnotations: { a: "option", b: "option" },
    } as const;
    const plan = await new PlanBench().with({ runtimeOptions }).plan({ annotations: { a: "own" } });
    expect(plan.annotations).toMatchObject({
      a: "own",
      b: "option",
      "io.microsoft.virtualmachine.bootfilesrootpath": "C:\\boot",
      "io.microsoft.virtualmachine.computetopology.processor.count": "3",
      "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "2048",
    });
  });
});

describe("isolation", () => {
  it.each<[string, object]>([
    ["windows/amd64", {}],
    ["windows(10.0.26100)/amd64", {}],
    ["", { sandboxIsolation: "PROCESS" }],
  ])("is the VM's with the platform %j and %j", async (sandboxPlatform, options) => {
    const isolation = sandboxPlatform === "" ? {} : ({ sandboxIsolation: "HYPERVISOR" } as const);
    const bench = new PlanBench().with({ runtimeOptions: { sandboxPlatform, ...isolation, ...options } });
    expect((await bench.plan()).isHostProcess).toBe(false);
  });
});
