import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { PodSize, type RuntimeOptions } from "../index.ts";
import { build, bootFolder as folder, host, topology, vm, windowsHost } from "../testing/sandbox.ts";

const kernelLine =
  "initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0 " +
  "-- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info";

const withOptions = (options: RuntimeOptions) => build({}, { options });

it("builds the same small VM for every request without settings", () => {
  const [first, second, third, fourth] = scsiControllerGuids;
  const { document, settings, warnings } = build();
  expect(warnings).toEqual([]);
  expect(settings).toEqual({
    noWritableFileShares: false,
    encryptScratch: false,
    policyBasedRouting: false,
    propagateNumaAffinity: true,
    confidential: undefined,
    logLevel: undefined,
    gpuVhdPath: undefined,
    shareScratch: false,
    ioRetrySeconds: undefined,
    defaultContainerAnnotations: {},
    size: expect.any(PodSize),
  });
  expect(document).toEqual({
    Owner: "test",
    SchemaVersion: { Major: 2, Minor: 1 },
    ShouldTerminateOnLastHandleClosed: true,
    VirtualMachine: {
      StopOnReset: true,
      Chipset: {
        LinuxKernelDirect: {
          KernelFilePath: `${folder}/kernel`,
          InitRdPath: `${folder}/initrd.img`,
          KernelCmdLine: kernelLine,
        },
      },
      ComputeTopology: { Memory: { SizeInMB: 1024, AllowOvercommit: true }, Processor: { Count: 2 } },
      Devices: {
        Scsi: { [first]: {}, [second]: {}, [third]: {}, [fourth]: {} },
        HvSocket: { HvSocketConfig: { DefaultBindSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)" } },
        Plan9: {},
      },
    },
  });
});

it("does not change the caller's annotations", () => {
  const annotations = Object.freeze({ "io.microsoft.disable-unsafe-operations": "true" });
  expect(build(annotations).settings.noWritableFileShares).toBe(true);
});

describe("boot files", () => {
  const elsewhere = ["/opt/kernel", "/opt/initrd.img", "/usr/kernel", "/usr/initrd.img", "kernel", "initrd.img"];

  it.each([
    [{}, {}, folder],
    [{ [`${vm}bootfilesrootpath`]: "/opt" }, { bootFilesRootPath: "/usr" }, "/opt"],
    [{ [`${vm}bootfilesrootpath`]: "" }, { bootFilesRootPath: "/usr" }, "/usr"],
    [{}, { bootFilesRootPath: "" }, folder],
  ])("%j with options %j are in %s", (annotations, options, expected) => {
    const { boot } = build(annotations, { options, host: host({}, elsewhere) });
    expect(boot?.KernelFilePath).toBe(`${expected}/kernel`);
    expect(boot?.InitRdPath).toBe(`${expected}/initrd.img`);
  });

  it("are found by paths of the host's system", () => {
    const { boot } = build(
      { [`${vm}bootfilesrootpath`]: "C:\\boot" },
      { host: windowsHost({ hasFile: (path) => !path.endsWith("vhd") }) },
    );
    expect(boot?.KernelFilePath).toBe("C:\\boot\\vmlinux");
    expect(boot?.InitRdPath).toBe("C:\\boot\\initrd.img");
  });

  it.each<[string[], { [key: string]: string }, string, string | undefined, string | undefined]>([
    [["vmlinux", "kernel", "initrd.img"], {}, "vmlinux", "initrd.img", undefined],
    [["kernel", "initrd.img", "rootfs.vhd"], {}, "kernel", undefined, "rootfs.vhd"],
    [
      ["kernel", "initrd.img", "rootfs.vhd"],
      { [`${vm}lcow.preferredrootfstype`]: "initrd" },
      "kernel",
      "initrd.img",
      undefined,
    ],
    [["kernel", "rootfs.vhd"], { [`${vm}lcow.preferredrootfstype`]: "vhd" }, "kernel", undefined, "rootfs.vhd"],
  ])("%j with %j", (files, annotations, kernel, initrd, vhd) => {
    const { boot, Devices } = build(annotations, { host: host({}, files) });
    expect(boot?.KernelFilePath).toBe(`${folder}/${kernel}`);
    expect(boot?.InitRdPath).toBe(initrd && `${folder}/${initrd}`);
    expect(boot?.KernelCmdLine?.startsWith("root=/dev/sda ro rootwait init=/init ")).toBe(vhd !== undefined);
    expect(Devices?.Scsi?.[scsiControllerGuids[0]]?.Attachments).toEqual(
      vhd && { "0": { Type: "VirtualDisk", Path: `${folder}/${vhd}`, ReadOnly: true } },
    );
  });

  it.each([
    [[], {}, `there is no file ${folder}/vmlinux or ${folder}/kernel`],
    [["kernel"], {}, `there is no file ${folder}/initrd.img`],
    [["kernel", "initrd.img"], { [`${vm}lcow.preferredrootfstype`]: "vhd" }, `there is no file ${folder}/rootfs.vhd`],
    [["kernel"], { [`${vm}bootfilesrootpath`]: "relative" }, "expected an absolute path"],
  ])("%j with %j are refused", (files, annotations, message) => {
    const building = () => build(annotations, { host: host({}, files) });
    expect(building).toThrow(expect.objectContaining({ code: "InvalidArgument", key: `${vm}bootfilesrootpath` }));
    expect(building).toThrow(message);
  });

  it("name the option that chose them", () => {
    expect(() => withOptions({ bootFilesRootPath: "/nowhere" })).toThrow(
      'boot_files_root_path: got "/nowhere", expected a folder with boot files',
    );
  });
});

describe("the kernel's command line", () => {
  it.each([
    [{ [`${vm}lcow.kernelbootoptions`]: "debug x=1" }, {}, " quiet debug x=1 pci=off "],
    [{ [`${vm}lcow.vpcienabled`]: "true" }, {}, " quiet nr_cpus=2 "],
    [{ [`${topology}processor.count`]: "5" }, {}, " nr_cpus=5 "],
    [{ [`${vm}lcow.timesync.disable`]: "true" }, {}, " -loglevel info -disable-time-sync"],
    [{ "io.microsoft.container.processdumplocation": "/dumps" }, {}, " -core-dump-location /dumps"],
    [{ [`${vm}lcow.extra-exec-command-args`]: "-x y" }, {}, " -loglevel info -x y"],
    [{}, { logLevel: "debug" }, " -loglevel debug"],
    [{}, { scrubLogs: false }, " -scrub-logs=false"],
  ])("for %j and options %j has %j", (annotations, options, part) => {
    expect(`${build(annotations, { options }).boot?.KernelCmdLine} `).toContain(part);
  });

  it("makes directories of a read-only root writable, and warns if that has no effect", () => {
    const annotations = { [`${vm}lcow.writable-overlay-directories`]: "true" };
    const vhd = build(annotations, { host: host({}, ["kernel", "rootfs.vhd"]) });
    expect(vhd.boot?.KernelCmdLine).toContain(" -e 1 -w /bin/vsockexec ");
    expect(vhd.warnings).toEqual([]);
    const initrd = build(annotations);
    expect(initrd.boot?.KernelCmdLine).toBe(kernelLine);
    expect(initrd.warnings).toEqual([expect.stringContaining("has no effect on an initrd")]);
  });
});

describe("processors and memory", () => {
  it.each([
    [{}, {}, 8, 2],
    [{}, {}, 1, 1],
    [{ [`${topology}processor.count`]: "3" }, { vmProcessorCount: 4 }, 8, 3],
    [{ [`${topology}processor.count`]: "0" }, { vmProcessorCount: 4 }, 8, 4],
    [{}, { vmProcessorCount: 0 }, 8, 2],
  ])("%j with options %j on %i processors: %i", (annotations, options, processors, expected) => {
    const { Processor, warnings } = build(annotations, { options, host: host({ processors }) });
    expect(Processor).toEqual({ Count: expected });
    expect(warnings).toEqual([]);
  });

  it("are limited to the host's processors, with a warning", () => {
    const { Processor, warnings } = build({ [`${topology}processor.count`]: "9" });
    expect(Processor.Count).toBe(8);
    expect(warnings).toEqual(["the VM gets 8 processors instead of 9: the host has no more"]);
  });

  it("can have a limit and a weight", () => {
    const annotations = { [`${topology}processor.limit`]: "100000", [`${topology}processor.weight`]: "10000" };
    expect(build(annotations).Processor).toEqual({ Count: 2, Limit: 100_000, Weight: 10_000 });
    const none = { [`${topology}processor.limit`]: "0", [`${topology}processor.weight`]: "0" };
    expect(build(none).Processor).toEqual({ Count: 2 });
  });

  it.each([
    [{}, {}, 1024],
    [{ [`${topology}memory.sizeinmb`]: "2048" }, { vmMemorySizeInMb: 512 }, 2048],
    [{ [`${topology}memory.sizeinmb`]: "0" }, { vmMemorySizeInMb: 512 }, 512],
    [{ [`${topology}memory.sizeinmb`]: "2047" }, {}, 2048],
    [{ [`${topology}memory.sizeinmb`]: String(2 ** 40) }, {}, 2 ** 40],
    [{}, { vmMemorySizeInMb: 511 }, 512],
  ])("%j with options %j: %i MB", (annotations, options, expected) => {
    expect(build(annotations, { options }).Memory).toEqual({ SizeInMB: expected, AllowOvercommit: true });
  });

  it.each([
    [{ [`${topology}memory.allowovercommit`]: "false" }, {}],
    [{ [`${vm}fullyphysicallybacked`]: "true" }, {}],
    [{ [`${topology}memory.enabledeferredcommit`]: "true" }, { AllowOvercommit: true, EnableDeferredCommit: true }],
    [{ [`${topology}memory.enablecolddiscardhint`]: "1" }, { AllowOvercommit: true, EnableColdDiscardHint: true }],
    [{ [`${topology}memory.lowmmiogapinmb`]: "256" }, { AllowOvercommit: true, LowMmioGapInMB: 256 }],
    [{ [`${topology}memory.highmmiobaseinmb`]: "4096" }, { AllowOvercommit: true, HighMmioBaseInMB: 4096 }],
    [{ [`${topology}memory.highmmiogapinmb`]: "512" }, { AllowOvercommit: true, HighMmioGapInMB: 512 }],
    [{ [`${topology}memory.highmmiogapinmb`]: "0" }, { AllowOvercommit: true }],
  ])("%j", (annotations, expected) => {
    expect(build(annotations).Memory).toEqual({ SizeInMB: 1024, ...expected });
  });

  it.each([`${topology}memory.allowovercommit`, `${vm}fullyphysicallybacked`])(
    "refuse deferred commit with %s",
    (key) => {
      const annotations = {
        [`${topology}memory.enabledeferredcommit`]: "t",
        [key]: key.endsWith("backed") ? "1" : "0",
      };
      expect(() => build(annotations)).toThrow(key);
    },
  );

  it("refuse cold discard hints on a build without them", () => {
    const annotations = { [`${topology}memory.enablecolddiscardhint`]: "true" };
    expect(() => build(annotations, { host: host({ build: 18_966 }) })).toThrow("need build 18967 or later");
    expect(build(annotations, { host: host({ build: 18_967 }) }).Memory.EnableColdDiscardHint).toBe(true);
  });
});

describe("storage quality of service", () => {
  it.each([
    [{}, undefined],
    [{ [`${vm}storageqos.iopsmaximum`]: "0", [`${vm}storageqos.bandwidthmaximum`]: "0" }, undefined],
    [{ [`${vm}storageqos.iopsmaximum`]: "100" }, { IopsMaximum: 100 }],
    [{ [`${vm}storageqos.bandwidthmaximum`]: "2147483647" }, { BandwidthMaximum: 2_147_483_647 }],
  ])("%j", (annotations, expected) => {
    expect(build(annotations).StorageQoS).toEqual(expected);
  });
});

describe("hvsocket services", () => {
  const prefix = `${vm}hv-socket.service-table.`;
  const service = "0000006D-FACB-11E6-BD58-64006A7986D3";
  const config = {
    BindSecurityDescriptor: "b",
    ConnectSecurityDescriptor: "c",
    AllowWildcardBinds: true,
    Disabled: false,
  };

  it("are in the document by GUID in lower case", () => {
    const { Devices } = build({ [`${prefix}${service}`]: JSON.stringify(config) });
    expect(Devices?.HvSocket?.HvSocketConfig?.ServiceTable).toEqual({ [service.toLowerCase()]: config });
  });

  it.each([
    [{ [`${prefix}nonsense`]: "{}" }, "a GUID without braces"],
    [{ [prefix]: "{}" }, "a GUID at its end"],
    [{ [`${prefix}${service}`]: "{" }, "a JSON object"],
    [{ [`${prefix}${service}`]: "[]" }, "a JSON object"],
    [{ [`${prefix}${service}`]: "null" }, "a JSON object"],
    [{ [`${prefix}${service}`]: '{"Disabled":"yes"}' }, "Disabled (boolean)"],
    [{ [`${prefix}${service}`]: '{"Enabled":true}' }, "Disabled (boolean)"],
    [{ [`${prefix}${service}`]: '{"constructor":1}' }, "Disabled (boolean)"],
    [{ [`${prefix}${service}`]: "{}", [`${prefix}${service.toLowerCase()}`]: "{}" }, "each service only once"],
  ])("%j are refused", (annotations, message) => {
    expect(() => build(annotations)).toThrow(message);
  });
});

describe("options", () => {
  it.each(["linux/amd64", "Linux/AMD64", ""])("accept platform %j", (sandboxPlatform) => {
    expect(withOptions({ sandboxPlatform }).warnings).toEqual([]);
  });

  it.each([
    [{ sandboxPlatform: "windows/amd64" }, 'sandbox_platform: got "windows/amd64", expected linux/amd64'],
    [{ sandboxPlatform: "linux/arm64" }, "expected linux/amd64"],
    [{ vmProcessorCount: -1 }, "vm_processor_count: got -1"],
    [{ vmMemorySizeInMb: -1 }, "vm_memory_size_in_mb: got -1"],
    [{ vmMemorySizeInMb: 1.5 }, "vm_memory_size_in_mb: got 1.5"],
    [{ logLevel: "loud" }, "log_level: got"],
    [{ defaultContainerAnnotations: { [`${topology}processor.count`]: "many" } }, "processor.count"],
  ])("refuse %j", (options, message) => {
    expect(() => withOptions(options)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
    expect(() => withOptions(options)).toThrow(message);
  });

  it("set default annotations, which the sandbox's annotations override", () => {
    const key = `${topology}processor.count`;
    const options = { defaultContainerAnnotations: { [key]: "3" } };
    expect(build({}, { options }).Processor.Count).toBe(3);
    expect(build({ [key]: "4" }, { options }).Processor.Count).toBe(4);
  });
});

describe("virtual persistent memory", () => {
  const key = `${vm}devices.virtualpmem.maximumcount`;

  it("is refused, or has no effect with physical memory", () => {
    expect(build({ [key]: "0" }).warnings).toEqual([]);
    expect(() => build({ [key]: "1" })).toThrow(expect.objectContaining({ code: "InvalidArgument", key }));
    expect(() => build({ [key]: "1" })).toThrow(`${key}: got "1", expected 0: layers are SCSI disks`);
    expect(build({ [key]: "1", [`${vm}fullyphysicallybacked`]: "true" }).warnings).toEqual([
      expect.stringContaining(key),
    ]);
  });
});

describe("settings beside the document", () => {
  it.each([
    [{ [`${vm}fileshares.disablewritable`]: "true" }, { noWritableFileShares: true }],
    [{ [`${vm}storage.scratch.encrypted`]: "true" }, { encryptScratch: true }],
    [{ [`${vm}lcow.network.policybasedrouting`]: "1" }, { policyBasedRouting: true }],
  ])("%j", (annotations, settings) => {
    expect(build(annotations).settings).toMatchObject(settings);
  });

  it("do not include live migration: it removes Plan9, and makes the guest reconnect its log", () => {
    const { Devices, boot } = build({ "io.microsoft.migration.support-enabled": "true" });
    expect(Devices).not.toHaveProperty("Plan9");
    expect(boot?.KernelCmdLine).toContain(" /bin/vsockexec -r -e 109 /bin/gcs ");
  });
});

describe("CPU group and resource partition", () => {
  const group = { [`${vm}cpugroup.id`]: "12345678-1234-5678-1234-567812345678" };
  const partition = { [`${vm}resource-partition-id`]: "87654321-4321-8765-4321-876543218765" };

  it("are in the document", () => {
    expect(build(group).Processor).toEqual({ Count: 2, CpuGroup: { Id: group[`${vm}cpugroup.id`] } });
    expect(build(partition).document.VirtualMachine.ResourcePartitionId).toBe("87654321-4321-8765-4321-876543218765");
    expect(build({ [`${vm}cpugroup.id`]: "", [`${vm}resource-partition-id`]: "" }).document).toEqual(build().document);
  });

  it("exclude each other", () => {
    expect(() => build({ ...group, ...partition })).toThrow(`${vm}resource-partition-id: got`);
  });

  it("need a host that supports them", () => {
    expect(() => build(group, { host: host({ build: 19_042 }) })).toThrow(
      "none on build 19042: CPU groups need build 19043 or later",
    );
    expect(build(group, { host: host({ build: 19_043 }) }).Processor.CpuGroup).toBeDefined();
    const old = { host: host({ build: 20_348 }) };
    expect(() => build(partition, old)).toThrow(
      "VirtualMachine.ResourcePartitionId: host build 20348 does not support this field, introduced in build 26100",
    );
    expect(() => build(partition, old)).toThrow(expect.objectContaining({ code: "FailedPrecondition" }));
  });
});
