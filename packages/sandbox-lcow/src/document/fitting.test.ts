import { resourcePaths } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { bootFilesOf, describeDifference, fitDocument } from "../index.ts";
import { type Annotations, build, bootFolder as folder, host, topology, vm } from "../testing/sandbox.ts";

const group = "11111111-2222-3333-4444-555555555555";
const service = "io.microsoft.virtualmachine.hv-socket.service-table.22222222-2222-3333-4444-555555555555";
const limits = (Settings: object) => ({ RequestType: "Update", ResourcePath: resourcePaths.processorLimits, Settings });
const pod = (resources: object) => ({ pod: { linux: { resources } } });

/** From the VM of a pod without settings, unless others are given, to that of a pod with these. */
function fit(wanted: Annotations | Parameters<typeof build>[1], running: Annotations = {}) {
  const isAnnotations = Object.keys(wanted ?? {}).some((key) => key.includes("."));
  const built = isAnnotations ? build(wanted as Annotations) : build({}, wanted as Parameters<typeof build>[1]);
  return fitDocument(build(running).document, built.document);
}

describe("a VM that runs already", () => {
  it("fits a pod without settings, of whatever bundle, as it is", () => {
    expect(fit({ bundle: "/run/other", owner: "someone" })).toEqual({ kind: "fits", changes: [] });
  });

  it.each<[string, Parameters<typeof fit>[0], object[]]>([
    [
      "more memory",
      { [`${topology}memory.sizeinmb`]: "2048" },
      [{ RequestType: "Update", ResourcePath: resourcePaths.memorySize, Settings: 2048 }],
    ],
    [
      "less memory",
      { [`${topology}memory.sizeinmb`]: "512" },
      [{ RequestType: "Update", ResourcePath: resourcePaths.memorySize, Settings: 512 }],
    ],
    [
      "the memory of its containers' limits",
      pod({ memory: { limit: 4096 * 2 ** 20 } }),
      [{ RequestType: "Update", ResourcePath: resourcePaths.memorySize, Settings: expect.any(Number) }],
    ],
    ["a limit of processor time", { [`${topology}processor.limit`]: "50000" }, [limits({ Limit: 50_000 })]],
    ["a weight", { [`${topology}processor.weight`]: "500" }, [limits({ Weight: 500 })]],
    ["the weight of its requests", pod({ cpu: { shares: 3072 } }), [limits({ Weight: 300 })]],
    [
      "a CPU group",
      { [`${vm}cpugroup.id`]: group },
      [{ RequestType: "Update", ResourcePath: resourcePaths.cpuGroup, Settings: { Id: group } }],
    ],
    [
      "a service of hvsockets",
      { [service]: '{"AllowWildcardBinds":true}' },
      [
        {
          RequestType: "Update",
          ResourcePath: resourcePaths.hvSocketService("22222222-2222-3333-4444-555555555555"),
          Settings: expect.objectContaining({ AllowWildcardBinds: true }),
        },
      ],
    ],
  ])("is changed to give a pod %s", (_what, wanted, changes) => {
    expect(fit(wanted)).toEqual({ kind: "fits", changes });
  });

  it("is given back what a pod does not ask for", () => {
    const running = { [`${topology}processor.limit`]: "50000", [`${topology}processor.weight`]: "500" };
    expect(fit({}, running)).toEqual({
      kind: "fits",
      changes: [limits({ Limit: 100_000 }), limits({ Weight: 100 })],
    });
    expect(fit({}, { [service]: "{}" })).toEqual({
      kind: "fits",
      changes: [
        { RequestType: "Remove", ResourcePath: resourcePaths.hvSocketService("22222222-2222-3333-4444-555555555555") },
      ],
    });
  });

  it.each<[string, Parameters<typeof fit>[0], string]>([
    ["more processors", { [`${topology}processor.count`]: "4" }, "Chipset.LinuxKernelDirect.KernelCmdLine"],
    ["the processors of its limits", pod({ cpu: { quota: 400_000, period: 100_000 } }), "KernelCmdLine"],
    ["a kernel option", { [`${vm}lcow.kernelbootoptions`]: "a=1" }, "Chipset.LinuxKernelDirect.KernelCmdLine"],
    ["another log level of the guest", { options: { logLevel: "debug" } }, "KernelCmdLine"],
    ["memory that is physical", { [`${topology}memory.allowovercommit`]: "false" }, "Memory.AllowOvercommit"],
    ["a serial console", { [`${vm}console.pipe`]: "\\\\.\\pipe\\c" }, "KernelCmdLine"],
    ["limits of its disks", { [`${vm}storageqos.iopsmaximum`]: "9" }, "VirtualMachine.StorageQoS"],
    ["no shares, for live migration", { "io.microsoft.migration.support-enabled": "true" }, "KernelCmdLine"],
    ["a root file system on a disk", { host: host({}, ["kernel", "rootfs.vhd"]) }, "Chipset"],
    ["other boot files", { options: { bootFilesRootPath: "/o" }, host: host({}, ["/o/kernel", "/o/initrd.img"]) }, ""],
    [
      "assigned devices",
      { specification: { devices: [{ id: "PCIP\\VEN_1", idType: "vpci-instance-id" }] } },
      "VirtualPci",
    ],
  ])("does not fit a pod that wants %s", (_what, wanted, field) => {
    expect(fit(wanted)).toMatchObject({ kind: "differs", field: expect.stringContaining(field) });
  });

  it("keeps memory that is not virtual, and a CPU group", () => {
    const physical = { [`${vm}fullyphysicallybacked`]: "true" };
    const more = { ...physical, [`${topology}memory.sizeinmb`]: "2048" };
    expect(fit(more, physical)).toMatchObject({ kind: "differs", field: expect.stringContaining("SizeInMB") });
    expect(fit({}, { [`${vm}cpugroup.id`]: group })).toMatchObject({ field: expect.stringContaining("CpuGroup") });
  });
});

it("says what differs, without texts that may be long or secret", () => {
  const difference = (wanted: Parameters<typeof fit>[0]) => {
    const found = fit(wanted);
    return found.kind === "differs" ? describeDifference(found) : "";
  };
  expect(difference({ [`${vm}lcow.kernelbootoptions`]: "token=secret" })).toBe(
    "VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine differs from that of the VMs that are ready",
  );
  expect(difference({ [`${topology}memory.allowovercommit`]: "false" })).toMatch(
    /Memory.AllowOvercommit is true in the VMs that are ready, and (false|absent) for this pod/,
  );
});

it("finds the files that a VM boots from", () => {
  expect(bootFilesOf(build().document)).toEqual([`${folder}/kernel`, `${folder}/initrd.img`]);
  expect(bootFilesOf(build({}, { host: host({}, ["kernel", "rootfs.vhd"]) }).document)).toEqual([
    `${folder}/kernel`,
    `${folder}/rootfs.vhd`,
  ]);
});
