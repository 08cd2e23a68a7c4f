import type { ErrorCode } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { windowsContainerAnnotationKeys } from "../specification/annotations.ts";
import { memberAnnotations, PlanBench, type SpecificationParts } from "../testing/planning.ts";
import type { WindowsPlanRequest } from "./options.ts";

async function refused(
  parts: SpecificationParts,
  message: string,
  { bench = new PlanBench(), rootfs = [] }: { bench?: PlanBench; rootfs?: WindowsPlanRequest["rootfs"] } = {},
  code: ErrorCode = "InvalidArgument",
): Promise<void> {
  await expect(bench.plan(parts, rootfs)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
}

describe("a field of the specification is refused by its name and value:", () => {
  it.each<[SpecificationParts, string]>([
    [{ ociVersion: 1 }, "ociVersion: expected a string, got 1"],
    [{ hostname: "a b" }, 'hostname is "a b", expected letters, digits, hyphens, underscores and dots, at most 64'],
    [{ hostname: "x".repeat(65) }, "hostname is"],
    [{ hostname: "a\0b" }, "hostname: expected text without NUL"],
    [{ process: { args: "cmd.exe" } }, "process.args: expected a list, got a string of 7 characters"],
    [{ process: { env: "A=b" } as object }, "process.env: expected a list, got a string of 3 characters"],
    [{ process: "cmd.exe" as unknown as object }, "process: expected an object, got a string of 7 characters"],
    [{ process: { user: "me" } as object }, "process.user: expected an object, got a string of 2 characters"],
    [{ process: { commandLine: 1 } }, "process.commandLine: expected a string, got 1"],
    [{ process: { terminal: "yes" } }, 'process.terminal: expected true or false, got "yes"'],
    [{ process: { user: { username: 5 } } }, "process.user.username: expected a string, got 5"],
    [{ process: { env: [1] } }, "process.env[0]: expected a string"],
    [{ process: { cwd: 1 } }, "process.cwd: expected a string, got 1"],
    [{ process: { consoleSize: { height: -1, width: 1 } } }, "process.consoleSize.height: expected an integer"],
    [{ root: { path: 1 } }, "root.path: expected a string, got 1"],
    [{ root: { readonly: "no" } }, 'root.readonly: expected true or false, got "no"'],
    [
      { root: { readonly: true } },
      "root.readonly is true, expected false: the root of a Windows container is writable",
    ],
    [{ linux: {} }, "linux is given, expected none"],
    [{ annotations: { a: 1 as unknown as string } }, "annotations.a: expected a string"],
    [{ mounts: {} }, "mounts: expected a list, got an object"],
    [{ windows: { layerFolders: "C:\\x" } }, 'windows.layerFolders: expected a list, got "C:\\\\x"'],
    [{ windows: { layerFolders: [1] } }, "windows.layerFolders[0]: expected a string, got 1"],
    [{ windows: { layerFolders: ["C:\\layers\\ctr"] } }, "windows.layerFolders: got 1, expected at least two folders"],
    [{ windows: { layerFolders: [] } }, "rootfs: got 0, expected exactly one mount, or windows.layerFolders"],
    [{ windows: { layerFolders: ["base", "C:\\layers\\ctr"] } }, "windows.layerFolders[0]: got"],
    [{ windows: { layerFolders: ["C:\\no", "C:\\layers\\ctr"] } }, "layer C:\\no does not exist, expected a directory"],
    [{ windows: { layerFolders: ["C:\\data\\file.txt", "C:\\x"] } }, "is a file, expected a directory"],
    [{ windows: { hyperv: 1 } }, "windows.hyperv: expected an object, got 1"],
    [{ windows: { servicing: 1 } }, "windows.servicing: expected true or false, got 1"],
    [{ windows: { ignoreFlushesDuringBoot: 1 } }, "windows.ignoreFlushesDuringBoot: expected true or false, got 1"],
    [{ windows: { credentialSpec: { secret: 1 } } }, "windows.credentialSpec: expected a string, got an object"],
    [{ windows: { resources: { memory: { limit: -1 } } } }, "memory.limit: expected a number of bytes, got -1"],
    [{ windows: { resources: { memory: { limit: 1.5 } } } }, "memory.limit: expected a number of bytes, got 1.5"],
    [{ windows: { resources: { cpu: { count: -1 } } } }, "cpu.count: expected an integer from 0 to 2147483647, got -1"],
    [{ windows: { resources: { cpu: { count: 2 ** 32 + 1 } } } }, "cpu.count: expected an integer"],
    [{ windows: { resources: { cpu: { shares: 10_001 } } } }, "cpu.shares: expected an integer from 0 to 10000"],
    [{ windows: { resources: { cpu: { maximum: 10_001 } } } }, "cpu.maximum: expected an integer from 0 to 10000"],
    [
      { windows: { resources: { cpu: { count: 1, shares: 2 } } } },
      "windows.resources.cpu.shares is 2, expected none, as config.json: windows.resources.cpu.count is 1",
    ],
    [{ windows: { resources: { storage: { iops: -1 } } } }, "storage.iops: expected an integer from 0"],
    [{ windows: { resources: { storage: { bps: 2 ** 32 } } } }, "storage.bps: expected an integer from 0"],
    [{ windows: { network: { DNSSearchList: "a" } } }, 'windows.network.DNSSearchList: expected a list, got "a"'],
    [{ windows: { network: { networkNamespace: 1 } } }, "windows.network.networkNamespace: expected a string, got 1"],
    [{ windows: { network: { endpointList: [1] } } }, "windows.network.endpointList[0]: expected a string, got 1"],
    [{ windows: { network: { allowUnqualifiedDNSQuery: 1 } } }, "allowUnqualifiedDNSQuery: expected true or false"],
    [
      { windows: { devices: [{ id: "x", idType: "class" }] } },
      'windows.devices[0].idType of device x is "class", expected one of vpci-instance-id, vpci, gpu: classes of devices',
    ],
    [{ windows: { devices: [{ id: "x", idType: "vpci-class-guid" }] } }, "classes of devices are of the host"],
    [{ windows: { devices: [{ id: "x", idType: "vpci-location-path" }] } }, 'is "vpci-location-path", expected one of'],
    [{ windows: { devices: [{ id: "", idType: "vpci" }] } }, 'windows.devices[0].id is "", expected a device instance'],
    [{ windows: { devices: [{ id: 1, idType: "vpci" }] } }, "windows.devices[0].id: expected a string, got 1"],
  ])("%j: %s", async (parts, message) => {
    await refused(parts, message);
  });

  it.each(["C:\\root", "\\\\?\\Volume{4c7af7de-23c8-4f56-b00d-7017ebb16fe1}"])(
    "root.path of layers that are CIMs: %s",
    async (path) => {
      const rootfs = [{ type: "BlockCIM", source: "C:\\layers\\ctr", options: cims }];
      const parts = { root: { path }, windows: { layerFolders: [] } };
      const message = `root.path is ${JSON.stringify(path)}, expected \\\\?\\Volume{<GUID>}\\`;
      await refused(parts, message, { rootfs });
    },
  );
});

const wrongAnnotations: readonly (readonly [string, string, string])[] = [
  ["io.microsoft.container.processor.count", "-1", 'got "-1", expected a whole number from 0 to 2147483647'],
  ["io.microsoft.container.processor.count", "two", 'got "two", expected a whole number'],
  ["io.microsoft.container.processor.limit", "10001", 'got "10001", expected a whole number from 0 to 10000'],
  ["io.microsoft.container.processor.weight", "10001", 'got "10001", expected a whole number from 0 to 10000'],
  ["io.microsoft.container.memory.sizeinmb", "1e3", "expected a whole number"],
  [
    "io.microsoft.container.memory.sizeinmb",
    "18446744073709551616",
    "expected a whole number from 0 to 18446744073709551615",
  ],
  ["io.microsoft.container.storage.qos.bandwidthmaximum", "-5", 'got "-5", expected a whole number'],
  ["io.microsoft.container.storage.qos.iopsmaximum", "", "expected a whole number"],
  ["io.microsoft.container.processdumplocation", "C:\\d\n", "expected text without control characters"],
  ["io.microsoft.wcow.processdumptype", "half", 'got "half", expected one of full, mini'],
  ["io.microsoft.wcow.processdumpcount", "0", 'got "0", expected a whole number from 1'],
  ["io.microsoft.wcow.processdumpcount", "many", 'got "many", expected a whole number from 1'],
  ["io.microsoft.container.wcow.test-registry-annotation", "{}", "expected a JSON list of registry values"],
  ["io.microsoft.container.wcow.gmsa.disable", "yes", 'got "yes", expected one of 1 t T'],
  ["io.microsoft.container.wcow.deviceextensions", "C:\\no.json", 'is "C:\\\\no.json", expected a file, it is missing'],
  ["io.microsoft.container.wcow.deviceextensions", "C:\\data", 'is "C:\\\\data", expected a file, it is directory'],
  ["io.microsoft.container.wcow.deviceextensions", ",", 'is "", expected a file, it is missing'],
  ["io.microsoft.virtualmachine.kerneldrivers", "drivers", 'is "drivers", expected an absolute path'],
  ["io.microsoft.virtualmachine.kerneldrivers", "s3cr-et", "is a text of 7 characters, expected an absolute path"],
  ["io.microsoft.virtualmachine.kerneldrivers", "C:\\no", 'is "C:\\\\no", expected a directory, it is missing'],
  ["io.microsoft.virtualmachine.kerneldrivers", "C:\\data\\file.txt", "expected a directory, it is file"],
  ["io.microsoft.virtualmachine.fileshares.disablewritable", "2", 'got "2", expected one of 1 t T'],
  ["io.microsoft.virtualmachine.wcow.virtualSMB.nodirectmap", "no", 'got "no", expected one of 1 t T'],
  ["io.microsoft.disable-unsafe-operations", "maybe", 'got "maybe", expected one of 1 t T'],
  ["microsoft.com/disable-hostprocess-container", "on", 'got "on", expected one of 1 t T'],
  ["microsoft.com/hostprocess-container", "on", 'got "on", expected one of 1 t T'],
  ["microsoft.com/hostprocess-inherit-user", "on", 'got "on", expected one of 1 t T'],
  ["io.kubernetes.cri.container-type", "sandbox", 'is "sandbox", expected "container"'],
  ["io.kubernetes.cri.container-type", "pod", 'is "pod", expected "container"'],
  ["io.kubernetes.cri.sandbox-id", "other", 'is "other", expected "pod"'],
];

describe("an annotation is refused by its key and value:", () => {
  it.each(wrongAnnotations)("%s = %j: %s", async (key, value, message) => {
    await refused({ annotations: { [key]: value } }, `annotation ${key}`);
    await refused({ annotations: { [key]: value } }, message);
  });

  it.each([
    "",
    "hpc",
    "\\hpc",
    "\\\\server\\share",
    "C:hpc",
    "C:\\x\\..\\Windows\\System32",
    "c:\\efi",
    "C:\\SandboxMounts\\a",
  ])("microsoft.com/hostprocess-rootfs-location = %j", async (path) => {
    const annotations = {
      "microsoft.com/hostprocess-container": "true",
      "microsoft.com/hostprocess-rootfs-location": path,
    };
    const message = `annotation microsoft.com/hostprocess-rootfs-location is ${JSON.stringify(path)}, expected a path of a drive`;
    await refused({ annotations }, message);
  });

  it("whichever it is", () => {
    const keys = new Set([...wrongAnnotations.map(([key]) => key), "microsoft.com/hostprocess-rootfs-location"]);
    expect([...keys].toSorted()).toEqual(windowsContainerAnnotationKeys.toSorted());
  });

  it("that contradicts what another stands for", async () => {
    const annotations = {
      "io.microsoft.disable-unsafe-operations": "true",
      "io.microsoft.container.wcow.gmsa.disable": "1",
    };
    const expected = 'expected "true", as io.microsoft.disable-unsafe-operations says';
    await refused({ annotations }, `annotation io.microsoft.container.wcow.gmsa.disable is "1", ${expected}`);
  });

  it.each(["io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"] as const)("%s, missing", async (key) => {
    const { [key]: _left, ...annotations } = memberAnnotations;
    const request = {
      spec: { windows: { layerFolders: ["C:\\layers\\base", "C:\\layers\\ctr"] }, annotations },
      rootfs: [],
    };
    await expect(new PlanBench().planOf(request)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`annotation ${key} is missing, expected`),
    });
  });

  it("two limits of the processor in one and the other form", async () => {
    const annotations = { "io.microsoft.container.processor.weight": "5" };
    const windows = { resources: { cpu: { maximum: 7 } } };
    const message = "annotation io.microsoft.container.processor.weight is 5, expected none, as config.json";
    await refused({ annotations, windows }, message);
  });
});

describe("a device extension is refused:", () => {
  it.each([
    ["{", "C:\\e.json: expected JSON"],
    ["[]", "C:\\e.json: expected an object, got a list"],
    ['{"namespace": 1}', "C:\\e.json: namespace: expected an object, got 1"],
    ['{"device_category": {"name": 1}}', "C:\\e.json: device_category.name: expected a string, got 1"],
    [
      '{"namespace": {"device": {"requires_driverstore": "x"}}}',
      "namespace.device.requires_driverstore: expected true",
    ],
    ['{"namespace": {"ob": {"objdir": [{"objdir": [{"name": 1}]}]}}}', "objdir[0].objdir[0].name: expected a string"],
  ])("%s: %s", async (text, message) => {
    const bench = new PlanBench();
    bench.files.texts.set("C:\\e.json", text);
    await refused({ annotations: { "io.microsoft.container.wcow.deviceextensions": "C:\\e.json" } }, message, {
      bench,
    });
  });

  it("on a host that is too old", async () => {
    const bench = new PlanBench().with({ build: 17_763 });
    const annotations = { "io.microsoft.container.wcow.deviceextensions": "C:\\e.json" };
    await refused({ annotations }, "build is 17763, expected at least 20348", { bench }, "FailedPrecondition");
  });
});

const cims = ['parentCimPaths=["C:\\\\snapshots\\\\1\\\\layer.bcim\\\\layer.cim"]', "blockCIMType=file"];
const twoCims = [
  'parentCimPaths=["C:\\\\snapshots\\\\2\\\\layer.bcim\\\\layer.cim","C:\\\\snapshots\\\\1\\\\layer.bcim\\\\layer.cim"]',
];

describe("a mount of the root file system is refused:", () => {
  const parents = ['parentLayerPaths=["C:\\\\layers\\\\base"]'];
  it.each<[object, string]>([
    [{ type: "overlay" }, 'rootfs[0].type: got "overlay", expected one of windows-layer, CimFS, BlockCIM'],
    [{ type: "windows-layer", options: [] }, "rootfs[0].options: parentLayerPaths: got nothing, expected a JSON list"],
    [{ type: "windows-layer", options: ["parentLayerPaths=x"] }, 'parentLayerPaths: got "x", expected a JSON list'],
    [{ type: "windows-layer", options: ['parentLayerPaths=["a"]'] }, "parentLayerPaths[0]: got"],
    [
      { type: "windows-layer", options: parents, source: "ctr" },
      'rootfs[0].source: got "ctr", expected an absolute path',
    ],
    [{ type: "windows-layer", options: parents, target: "C:\\x" }, "rootfs[0].target: got"],
    [{ type: "windows-layer", options: parents, source: "C:\\\0" }, "rootfs[0]: source: expected text without NUL"],
    [
      { type: "CimFS", options: [...parents, 'parentCimPaths=["C:\\\\a.cim"]'] },
      "virtual machines cannot have forked CIMs",
    ],
    [{ type: "BlockCIM", options: [cims[0]] }, "rootfs[0].options: blockCIMType"],
    [
      { type: "BlockCIM", options: [cims[0], "blockCIMType=disk"] },
      'blockCIMType: got "disk", expected device or file',
    ],
    [{ type: "BlockCIM", options: [...twoCims, cims[1]] }, "rootfs[0].options: mergedCIMPath"],
    [
      { type: "BlockCIM", options: ['parentCimPaths=["C:\\\\no\\\\a.cim"]', cims[1]] },
      "block CIM C:\\no does not exist, expected a file",
    ],
    [{ type: "BlockCIM", options: cims, source: "C:\\no" }, "scratch disk C:\\no\\sandbox.vhdx does not exist"],
  ])("%j: %s", async (mount, message) => {
    const rootfs = [{ type: "", source: "C:\\layers\\ctr", options: [], ...mount }];
    await refused({ windows: { layerFolders: [] } }, message, { rootfs });
  });

  it("beside windows.layerFolders, or with another", async () => {
    const mount = { type: "windows-layer", source: "C:\\layers\\ctr", options: parents };
    await refused({}, "rootfs: got 1, expected no mounts, as windows.layerFolders is given", { rootfs: [mount] });
    await refused({ windows: { layerFolders: [] } }, "rootfs: got 2, expected exactly one", { rootfs: [mount, mount] });
  });
});

describe("a mount is refused by its place and value:", () => {
  const destination = "C:\\in";
  it.each<[object, string]>([
    [{ source: "C:\\data" }, "mounts[0].destination is missing, expected a path"],
    [{ destination }, "mounts[0].source is missing, expected a path"],
    [{ source: 1, destination }, "mounts[0].source: expected a string, got 1"],
    [{ source: "C:\\data", destination, options: "ro" }, 'mounts[0].options: expected a list, got "ro"'],
    [{ source: "C:\\data", destination, type: "bind" }, 'type is "bind", expected none, or one of physical-disk'],
    [{ source: "C:\\data", destination: "in" }, 'destination is "in", expected a path such as C:\\data'],
    [{ source: "C:\\data", destination: "\\\\server\\share" }, "mounts[0].destination is"],
    [{ source: "data", destination }, 'mounts[0].source is "data", expected an absolute path'],
    [{ source: "C:\\no", destination }, 'mounts[0].source: "C:\\\\no" does not exist'],
    [{ source: "C:\\data\\socket", destination }, "is a other, expected a directory or a file"],
    [{ source: "\\\\.\\pipe\\a", destination }, "expected a pipe such as \\\\.\\pipe\\name, as the source is a pipe"],
    [{ source: "C:\\data", destination: "\\\\.\\pipe\\a" }, "mounts[0].source is"],
    [{ source: "uvm://C:\\x", destination }, "a container sees nothing else of its VM"],
    [{ source: "uvm://\\\\.\\pipe\\a", destination }, "a container sees nothing else of its VM"],
    [{ source: "uvm://C:\\x", destination: "\\\\.\\pipe\\a" }, "as the destination is a pipe"],
    [{ source: "sandbox://..\\Windows", destination }, "expected sandbox:// and a path in SandboxMounts"],
    [{ source: "sandbox://a/../../Windows", destination }, "expected sandbox:// and a path in SandboxMounts"],
    [{ source: "sandbox://C:\\x", destination }, "expected sandbox:// and a path in SandboxMounts"],
    [{ source: "sandbox://a&del", destination }, "expected sandbox:// and a path in SandboxMounts"],
    [{ source: "sandbox-tmp:///a", destination }, "expected an absolute path"],
    [{ source: "C:\\no.vhdx", destination, type: "virtual-disk" }, "does not exist, expected one that does"],
    [{ source: "C:\\data", destination, type: "virtual-disk" }, "expected a disk, not a directory"],
    [{ source: "disk.vhdx", destination, type: "virtual-disk" }, 'source is "disk.vhdx", expected an absolute path'],
    [{ source: "evd://", destination, type: "extensible-virtual-disk" }, "expected evd://<provider>/<path>"],
    [{ source: "evd://p/", destination, type: "extensible-virtual-disk" }, "expected evd://<provider>/<path>"],
  ])("%j: %s", async (mount, message) => {
    await refused({ mounts: [mount] }, message);
  });

  it("that is writable where only read-only shares are allowed", async () => {
    const parts = { mounts: [{ source: "C:\\data", destination }] };
    const message = "mounts[0].options are without ro, expected ro";
    await refused(parts, message, { bench: new PlanBench().with({ vm: { noWritableFileShares: true } }) });
    const key = "io.microsoft.virtualmachine.fileshares.disablewritable";
    await refused(parts, message, { bench: new PlanBench().with({ podAnnotations: { [key]: "1" } }) });
    await refused({ ...parts, annotations: { [key]: "true" } }, message);
  });

  it("whose path the host cannot resolve", async () => {
    const bench = new PlanBench();
    bench.files.kind = () => Promise.reject(Object.assign(new Error("ELOOP: too many links"), { syscall: "stat" }));
    await refused({ mounts: [{ source: "C:\\loop", destination }] }, "cannot be used: ELOOP", { bench });
  });
});

describe("a runtime option is refused:", () => {
  it.each([
    [{ sandboxPlatform: "linux/amd64" }, 'option sandbox_platform is "linux/amd64", expected windows/amd64'],
    [
      { sandboxIsolation: "PROCESS", vmProcessorCount: 1 } as const,
      "option sandbox_isolation is PROCESS, expected HYPERVISOR",
    ],
  ])("%j: %s", async (runtimeOptions, message) => {
    await refused({}, message, { bench: new PlanBench().with({ runtimeOptions }) });
  });
});

describe("a container is refused", () => {
  it("with the id of its pod", async () => {
    const bench = new PlanBench().with({ id: "pod" });
    await refused({}, "pod is the id of the pod's sandbox, expected another", { bench }, "AlreadyExists");
  });

  it("without isolation by a VM, unless its pod has one", async () => {
    const bench = new PlanBench().with({ role: "standalone", runtimeOptions: {} });
    const spec = { windows: { layerFolders: ["C:\\layers\\base", "C:\\layers\\ctr"] } };
    await expect(bench.planOf({ spec, rootfs: [] })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("windows.hyperv is missing, expected {}, or option sandbox_isolation"),
    });
  });

  it("without windows, unless its options ask for a VM", async () => {
    const spec = { annotations: memberAnnotations };
    const plan = new PlanBench().with({ runtimeOptions: {} }).planOf({ spec, rootfs: [] });
    await expect(plan).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("config.json: windows is missing"),
    });
  });

  it("that belongs to a pod, where it is alone", async () => {
    const bench = new PlanBench().with({ role: "standalone" });
    await refused({}, 'container-type is "container", expected none for a container without a pod', { bench });
  });

  it("with a credential where these are forbidden", async () => {
    const parts = { windows: { credentialSpec: '{"secret":1}' } };
    const message =
      "windows.credentialSpec is given, expected none, as annotation io.microsoft.container.wcow.gmsa.disable";
    const key = "io.microsoft.container.wcow.gmsa.disable";
    await refused({ ...parts, annotations: { [key]: "t" } }, message);
    await refused({ ...parts, annotations: { "io.microsoft.disable-unsafe-operations": "true" } }, message);
    await refused(parts, message, { bench: new PlanBench().with({ podAnnotations: { [key]: "true" } }) });
  });

  it("with devices without the tool for them", async () => {
    const bench = new PlanBench().with({ deviceUtilPath: "C:\\no.exe" });
    const windows = { devices: [{ id: "PCIP\\A", idType: "vpci" }] };
    await refused({ windows }, "C:\\no.exe is missing", { bench }, "FailedPrecondition");
  });

  it.each<[string, Parameters<PlanBench["with"]>[0], { readonly [key: string]: string }, string]>([
    ["that the guest does not know", { vm: { supportsHostProcesses: false } }, {}, "does not support host process"],
    [
      "that is forbidden",
      {},
      { "microsoft.com/disable-hostprocess-container": "1" },
      "expected false, as microsoft.com",
    ],
    [
      "that the pod forbids",
      { podAnnotations: { "io.microsoft.disable-unsafe-operations": "true" } },
      {},
      "expected false, as microsoft.com/disable-hostprocess-container says",
    ],
  ])("of host processes %s", async (_why, options, annotations, message) => {
    const all = { "microsoft.com/hostprocess-container": "true", ...annotations };
    await refused({ annotations: all }, message, { bench: new PlanBench().with(options) });
  });

  it("of host processes without a VM of its own kind", async () => {
    const bench = new PlanBench().with({ runtimeOptions: {} });
    const spec = {
      annotations: { ...memberAnnotations, "microsoft.com/hostprocess-container": "true" },
      windows: { layerFolders: ["C:\\layers\\base", "C:\\layers\\ctr"] },
    };
    await expect(bench.planOf({ spec, rootfs: [] })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("expected false without windows.hyperv"),
    });
  });
});
