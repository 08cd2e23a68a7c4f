import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { topology, vm } from "@uvm-shim/sandbox-common";
import { describe, expect, it } from "vitest";
import { WindowsPodSize } from "../index.ts";
import { build, host, layers, windowsLayer } from "../testing/sandbox.ts";

const administrators = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";
const scratch = `${layers.scratch}\\vm\\sandbox.vhdx`;
const template = `${layers.base}\\UtilityVM\\SystemTemplate.vhdx`;
const resources = (more: object) => ({ specification: { windows: { resources: more } } });

it("builds the same small VM for every request without settings", () => {
  const { document, settings, warnings } = build();
  expect(warnings).toEqual([]);
  expect(settings).toEqual({
    preparation: {
      folders: [`${layers.scratch}\\vm`],
      copies: [{ from: template, to: scratch, existing: "keep" }],
      vmAccess: [scratch],
      vmGroupAccess: [],
      diskIdentifiers: [],
    },
    gcsService: "acef5661-84a1-4e44-856b-6245e69f4620",
    logForwarding: { sources: expect.any(String), isRequired: false },
    inheritsTimeZone: true,
    processDumpLocation: undefined,
    noWritableFileShares: false,
    noDirectMap: false,
    disablesHostProcess: false,
    disablesGmsa: false,
    processors: 2,
    scalesCpuLimits: false,
    propagateNumaAffinity: true,
    confidential: undefined,
    logLevel: undefined,
    gpuVhdPath: undefined,
    shareScratch: false,
    ioRetrySeconds: undefined,
    defaultContainerAnnotations: {},
    size: expect.any(WindowsPodSize),
  });
  expect(document).toEqual({
    Owner: "test",
    SchemaVersion: { Major: 2, Minor: 1 },
    ShouldTerminateOnLastHandleClosed: true,
    VirtualMachine: {
      StopOnReset: true,
      Chipset: { Uefi: { BootThis: { DeviceType: "VmbFs", DevicePath: "\\EFI\\Microsoft\\Boot\\bootmgfw.efi" } } },
      ComputeTopology: {
        Memory: { SizeInMB: 1024, AllowOvercommit: true, EnableHotHint: true },
        Processor: { Count: 2 },
      },
      RegistryChanges: {
        AddValues: [
          {
            Key: { Hive: "System", Name: "CurrentControlSet\\Services\\gns" },
            ...{ Name: "EnableCompartmentNamespace", Type: "DWord", DWordValue: 1 },
          },
        ],
      },
      Devices: {
        Scsi: { [scsiControllerGuids[0]]: { Attachments: { "0": { Type: "VirtualDisk", Path: scratch } } } },
        HvSocket: {
          HvSocketConfig: {
            DefaultBindSecurityDescriptor: administrators,
            ServiceTable: {
              "172dad59-976d-45f2-8b6c-6d1b13f2ac4d": {
                AllowWildcardBinds: true,
                BindSecurityDescriptor: administrators,
                ConnectSecurityDescriptor: administrators,
              },
            },
          },
        },
        VirtualSmb: {
          DirectFileMappingInMB: 1024,
          Shares: [
            {
              Name: "os",
              Path: `${layers.base}\\UtilityVM\\Files`,
              Options: {
                ReadOnly: true,
                ShareRead: true,
                CacheIo: true,
                TakeBackupPrivilege: true,
                PseudoOplocks: true,
              },
            },
          ],
        },
      },
    },
  });
});

describe("the utility VM", () => {
  const top = "C:\\layers\\top";
  const both = { specification: { windows: { layerFolders: [top, layers.base, layers.scratch] } }, rootfs: [] };
  const of = (files: readonly string[], more = {}) => build({}, { ...both, host: host({}, files), ...more });

  it("is that of the topmost layer that has one", () => {
    const files = [template, `${top}\\UtilityVM\\SystemTemplate.vhdx`];
    expect(of(files).Devices?.VirtualSmb?.Shares?.[0]?.Path).toBe(`${top}\\UtilityVM\\Files`);
    expect(of(files.slice(0, 1)).Devices?.VirtualSmb?.Shares?.[0]?.Path).toBe(`${layers.base}\\UtilityVM\\Files`);
  });

  it("keeps a scratch disk that is there already", () => {
    const { preparation } = of([`${layers.base}\\UtilityVM\\any`, scratch]).settings;
    expect(preparation.copies).toEqual([]);
    expect(preparation.vmAccess).toEqual([scratch]);
  });

  it.each<[string, readonly string[], object, string]>([
    ["no layer has one", [], {}, 'rootfs: got "C:\\\\layers\\\\base", expected layers with a utility VM'],
    ["it has no scratch disk", [`${layers.base}\\UtilityVM\\any`], {}, `there is no file ${template}`],
    [
      "layers are images",
      [template],
      {
        rootfs: [
          { ...windowsLayer, type: "CimFS", options: ['parentLayerPaths=["C:\\\\a"]', 'parentCimPaths=["C:\\\\b"]'] },
        ],
        specification: {},
      },
      "no VM boots from CimFS layers",
    ],
    ["the pod is of Linux", [template], { specification: { linux: {} } }, "linux: got {}, expected nothing"],
  ])("is refused where %s", (_why, files, more, message) => {
    expect(() => of(files, more)).toThrow(message);
    expect(() => of(files, more)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });

  it("comes from the boot files root, with a scratch disk in the bundle, where the caller has no layers", () => {
    const { settings, Devices } = build({ [`${vm}bootfilesrootpath`]: layers.base }, { rootfs: [] });
    expect(Devices?.VirtualSmb?.Shares?.[0]?.Path).toBe(`${layers.base}\\UtilityVM\\Files`);
    expect(settings.preparation.copies).toEqual([
      { from: template, to: "C:\\bundle\\vm\\sandbox.vhdx", existing: "keep" },
    ]);
  });

  it("has paths of its host's grammar", () => {
    const { Devices } = build(
      {},
      {
        host: host(
          { pathGrammar: "posix" },
          ["/layers/base/UtilityVM/SystemTemplate.vhdx"].concat("/layers/base/UtilityVM\\"),
        ),
        rootfs: [{ type: "windows-layer", source: "/layers/pod/", options: ['parentLayerPaths=["/layers/base"]'] }],
      },
    );
    expect(Devices?.VirtualSmb?.Shares?.[0]?.Path).toBe("/layers/base/UtilityVM/Files");
    expect(Devices?.Scsi?.[scsiControllerGuids[0]]?.Attachments?.["0"]?.Path).toBe("/layers/pod/vm/sandbox.vhdx");
  });
});

describe("resources of the specification", () => {
  it.each([
    [{ memory: { limit: 1_610_612_735 } }, 1536],
    [{ memory: { limit: 0 } }, 1024],
    [{ memory: { limit: 2 ** 20 } }, 2],
    [null, 1024],
  ])("%j give %i MB", (given, size) => {
    expect(build({}, { specification: { windows: { resources: given } } }).Memory.SizeInMB).toBe(size);
  });

  it("count where annotations say nothing", () => {
    const given = resources({ cpu: { count: 4, maximum: 5000, shares: 200 }, storage: { iops: 7, bps: 2 ** 32 + 1 } });
    const { Processor, StorageQoS } = build({}, given);
    expect(Processor).toEqual({ Count: 4, Limit: 5000, Weight: 200 });
    expect(StorageQoS).toEqual({ IopsMaximum: 7, BandwidthMaximum: 2 ** 32 + 1 });
    const annotated = build(
      {
        [`${topology}processor.count`]: "3",
        [`${topology}processor.limit`]: "9",
        [`${vm}storageqos.iopsmaximum`]: "8",
      },
      given,
    );
    expect(annotated.Processor).toEqual({ Count: 3, Limit: 9, Weight: 200 });
    expect(annotated.StorageQoS?.IopsMaximum).toBe(8);
  });

  it("beyond the host's processors are cut, with a warning", () => {
    const { Processor, warnings } = build({}, resources({ cpu: { count: 2 ** 32 + 1 } }));
    expect(Processor.Count).toBe(8);
    expect(warnings).toEqual(["the VM gets 8 processors instead of 4294967297: the host has no more"]);
  });

  it.each([
    [{ memory: { limit: 1000 } }, "windows.resources.memory.limit: got 1000, expected 0, or at least 1048576 bytes"],
    [{ memory: { limit: -1 } }, "windows.resources.memory.limit: got -1, expected a whole number from 0 up"],
    [{ cpu: { count: "2" } }, 'windows.resources.cpu.count: got "2", expected a whole number'],
    [{ cpu: { maximum: 65_536 } }, "windows.resources.cpu.maximum: got 65536, expected a whole number from 0 to 65535"],
    [{ cpu: { shares: 1.5 } }, "windows.resources.cpu.shares: got 1.5, expected a whole number"],
    [{ storage: { bps: -1 } }, "windows.resources.storage.bps: got -1, expected a whole number"],
  ])("%j are refused", (given, message) => {
    expect(() => build({}, resources(given))).toThrow(message);
    expect(() => build({}, resources(given))).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });
});

describe("NUMA settings without the others that they need", () => {
  const prefix = `${topology}numa.`;
  const perNode = `${topology}processor.numa.max-processors-per-node`;
  const sizePerNode = `${topology}processor.numa.max-size-per-node`;

  it.each([
    [{ [sizePerNode]: "512" }, [sizePerNode], `without ${perNode} or ${prefix}mapped-physical-nodes`],
    [
      { [`${prefix}preferred-physical-nodes`]: "0", [`${prefix}count-of-processors`]: "2" },
      [`${prefix}count-of-processors`, `${prefix}preferred-physical-nodes`],
      `without ${perNode} or ${prefix}mapped-physical-nodes`,
    ],
  ])("%j are reported", (annotations, keys, why) => {
    const { Numa, warnings } = build(annotations);
    expect(Numa).toBeUndefined();
    expect(warnings).toEqual(keys.map((key) => `annotation ${key} has no effect ${why}`));
  });

  it("are void beside those that leave the nodes to the host", () => {
    const implicit = { [`${vm}fullyphysicallybacked`]: "true", [perNode]: "2", [sizePerNode]: "512" };
    const { Numa, warnings } = build({ ...implicit, [`${prefix}mapped-physical-nodes`]: "0" });
    expect(Numa).toEqual({ MaxSizePerNode: 512 });
    expect(warnings).toEqual([`annotation ${prefix}mapped-physical-nodes has no effect beside ${perNode}`]);
  });
});

describe("disabling unsafe operations", () => {
  const all = "io.microsoft.disable-unsafe-operations";
  const one = `${vm}fileshares.disablewritable`;

  it("is the same text everywhere, since containers take it over as it is written", () => {
    expect(build({ [all]: "1", [one]: "1" }).settings.noWritableFileShares).toBe(true);
    expect(() => build({ [all]: "1", [one]: "true" })).toThrow(`${one}: got "true", expected "1", as ${all} says`);
    expect(() => build({ [all]: "true", [one]: "false" })).toThrow(expect.objectContaining({ key: one }));
  });

  it("contradicts a host process", () => {
    const annotations = { "microsoft.com/hostprocess-container": "true", [all]: "true" };
    expect(() => build(annotations)).toThrow('microsoft.com/hostprocess-container: got "true", expected false');
  });
});

describe("without effect", () => {
  it.each<[object, object, string]>([
    [{ [`${vm}wcow.gueststatefile`]: "x" }, {}, `annotation ${vm}wcow.gueststatefile has no effect without`],
    [{ [`${vm}wcow.isolation_type`]: "?" }, {}, `annotation ${vm}wcow.isolation_type has no effect without`],
    [{ [`${vm}lcow.kerneldirectboot`]: "x" }, {}, "concerns Linux guests and has no effect"],
    [{ [`${vm}forwardlogs.enable`]: "0", [`${vm}forwardlogs.sources`]: "x" }, {}, "as no logs are forwarded"],
    [{ [`${vm}wcow.timezone.noinherit.`]: "1" }, {}, `did you mean ${vm}wcow.timezone.noinherit?`],
    [{}, { specification: { windows: { devices: [{}] } } }, "windows.devices has no effect on a sandbox"],
  ])("%j and %j are reported", (annotations, more, warning) => {
    expect(build({ ...annotations }, more).warnings).toEqual([expect.stringContaining(warning)]);
  });

  it.each(["wcow.writable_efi", "debug"])("%s is refused where it would be believed", (name) => {
    const key = name === "debug" ? "io.microsoft.wcow.debug" : `${vm}${name}`;
    expect(() => build({ [key]: "true" })).toThrow(
      `${key}: got "true", expected false without ${vm}wcow.securitypolicy`,
    );
  });
});

describe("a host that is too old", () => {
  it("is named with the field that it does not have", () => {
    const older = { host: host({ build: 17_763 }) };
    expect(() => build({ [`${vm}cpugroup.id`]: "12345678-1234-5678-1234-567812345678" }, older)).toThrow(
      "none on build 17763: CPU groups need build 19043 or later",
    );
    expect(() => build({ [`${topology}memory.lowmmiogapinmb`]: "256" }, older)).toThrow(
      expect.objectContaining({ code: "FailedPrecondition" }),
    );
  });
});

describe("the size of the VM", () => {
  const container = (limit: number) => ({ spec: { windows: { resources: { memory: { limit } } } } });
  const mebibyte = 2 ** 20;

  it("follows the limits of containers", () => {
    const { size } = build().settings;
    const limits = size.limitsOf(container(512 * mebibyte)) ?? {};
    expect(limits).toEqual({ memoryBytes: 512 * mebibyte });
    const question = { containers: [limits], container: limits, memoryInMb: 1024 };
    expect(size.judge(question)).toEqual({ kind: "grow", memoryInMb: 1024 + 528, isDemanded: true });
    expect(size.updated(limits, { memory: { limit: 600 * mebibyte } })).toEqual({ memoryBytes: 600 * mebibyte });
    expect(size.updated(limits, { memory: { limit: -1 } })).toEqual(limits);
  });

  it("counts a container's annotation before its resources, and no limit of the sandbox container", () => {
    const { size } = build().settings;
    const { spec } = container(1);
    const annotations = { "io.microsoft.container.memory.sizeinmb": "64" };
    expect(size.limitsOf({ spec: { ...spec, annotations } })).toEqual({ memoryBytes: 64 * mebibyte });
    expect(size.limitsOf({ spec: { annotations: { "io.kubernetes.cri.container-type": "sandbox" } } })).toBeUndefined();
    expect(size.limitsOf({ spec: { windows: { resources: { memory: { limit: "much" } } } } })).toEqual({});
  });

  it("stays where the caller fixed it", () => {
    const { size } = build({ [`${topology}memory.sizeinmb`]: "1024" }).settings;
    const limits = { memoryBytes: 2048 * mebibyte };
    expect(size.judge({ containers: [limits], container: limits, memoryInMb: 1024 })).toEqual({
      kind: "refused",
      reason: expect.stringContaining("are fixed: annotation or option"),
    });
  });
});
