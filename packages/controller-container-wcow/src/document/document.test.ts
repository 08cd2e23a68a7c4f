import { describe, expect, it } from "vitest";
import { PlanBench, resolved, type SpecificationParts } from "../testing/planning.ts";
import type { WindowsContainerDocument } from "./container-document.ts";

async function containerOf(parts: SpecificationParts, bench = new PlanBench()): Promise<WindowsContainerDocument> {
  const plan = await bench.plan(parts);
  const document = plan.document(resolved(plan));
  if ("Spec" in document) return document.CWCOWHostedSystem.Container;
  return document.Container;
}

describe("limits", () => {
  const processor = async (cpu: object, annotations = {}, bench = new PlanBench()) =>
    (await containerOf({ windows: { resources: { cpu } }, annotations }, bench)).Processor;
  const own = "io.microsoft.container.";

  it.each<[object, { readonly [key: string]: string }, object]>([
    [{}, {}, {}],
    [{ count: 0, shares: 0, maximum: 0 }, {}, {}],
    [{ count: 1 }, {}, { Count: 1 }],
    [{ maximum: 5000 }, {}, { Maximum: 5000 }],
    [{ shares: 10_000 }, {}, { Weight: 10_000 }],
    [{ count: 1 }, { [`${own}processor.count`]: "2" }, { Count: 2 }],
    [{ maximum: 1 }, { [`${own}processor.limit`]: "2" }, { Maximum: 2 }],
    [{ shares: 1 }, { [`${own}processor.weight`]: "0" }, { Weight: 1 }],
  ])("%j with %j: %j", async (cpu, annotations, expected) => {
    expect(await processor(cpu, annotations)).toEqual(expected);
  });

  it("are capped to the processors of the VM, with a warning", async () => {
    const bench = new PlanBench();
    expect(await processor({ count: 3 }, {}, bench)).toEqual({ Count: 2 });
    expect(bench.warnings).toEqual([
      "config.json: windows.resources.cpu.count is 3, more than the 2 processors of the VM, which the container gets",
    ]);
  });

  it.each([
    [2500, 5000],
    [1, 2],
    [9000, 10_000],
  ])("are scaled to the VM if the container's options say so: %s to %s", async (maximum, expected) => {
    const runtimeOptions = { sandboxIsolation: "HYPERVISOR", scaleCpuLimitsToSandbox: true } as const;
    expect(await processor({ maximum }, {}, new PlanBench().with({ runtimeOptions }))).toEqual({ Maximum: expected });
  });

  it("of affinity have no effect, with a warning", async () => {
    const bench = new PlanBench();
    expect(await processor({ affinity: [{ mask: 1 }] }, {}, bench)).toEqual({});
    expect(bench.warnings).toEqual([expect.stringContaining("cpu.affinity has no effect")]);
  });

  it.each<[number | bigint, string | undefined, number | bigint | undefined]>([
    [2 ** 29, undefined, 512],
    [2 ** 20 + 1, undefined, 1],
    [1000, undefined, undefined],
    [2n ** 64n - 1n, undefined, 2 ** 44 - 1],
    [2 ** 29, "7", 7],
    [2 ** 29, "9007199254740993", 2n ** 53n + 1n],
    [2 ** 29, "18446744073709551615", 2n ** 64n - 1n],
  ])("of %s bytes of memory, annotated %s: %s MB", async (limit, annotation, megabytes) => {
    const annotations = annotation === undefined ? {} : { [`${own}memory.sizeinmb`]: annotation };
    const { Memory } = await containerOf({ windows: { resources: { memory: { limit } } }, annotations });
    expect(Memory).toEqual(megabytes === undefined ? undefined : { SizeInMB: megabytes });
  });

  it.each<[object, { readonly [key: string]: string }, object | undefined]>([
    [{}, {}, undefined],
    [{ iops: 1, bps: 2 }, {}, { IopsMaximum: 1, BandwidthMaximum: 2 }],
    [{ iops: 1 }, { [`${own}storage.qos.bandwidthmaximum`]: "3" }, { IopsMaximum: 1, BandwidthMaximum: 3 }],
    [{ iops: 1 }, { [`${own}storage.qos.iopsmaximum`]: "4" }, { IopsMaximum: 4 }],
  ])("of storage %j with %j: %j", async (storage, annotations, expected) => {
    const { Storage } = await containerOf({ windows: { resources: { storage } }, annotations });
    expect(Storage.QoS).toEqual(expected);
  });
});

describe("a document", () => {
  it("names directories in their order, then disks; and pipes", async () => {
    const mounts = [
      { source: "C:\\data\\disk.vhdx", destination: "C:\\disk", type: "virtual-disk", options: ["ro"] },
      { source: "\\\\.\\pipe\\a", destination: "\\\\.\\pipe\\b" },
      { source: "sandbox://x", destination: "C:\\x", options: ["ro"] },
      { source: "C:\\data", destination: "C:\\in" },
      { source: "uvm://\\\\.\\pipe\\c", destination: "\\\\.\\pipe\\d" },
    ];
    const container = await containerOf({ mounts });
    expect(container.MappedDirectories).toEqual([
      { HostPath: "C:\\SandboxMounts\\x", ContainerPath: "C:\\x", ReadOnly: true },
      { HostPath: "guest 3", ContainerPath: "C:\\in" },
      { HostPath: "guest 0", ContainerPath: "C:\\disk", ReadOnly: true },
    ]);
    expect(container.MappedPipes).toEqual([
      { ContainerPipeName: "b", HostPath: "guest 1" },
      { ContainerPipeName: "d", HostPath: "\\\\.\\pipe\\pod\\c" },
    ]);
  });

  it("is not made before everything is acquired", async () => {
    const plan = await new PlanBench().plan({ mounts: [{ source: "C:\\data", destination: "C:\\in" }] });
    expect(() => plan.document({ ...resolved(plan), mounts: [] })).toThrow("mounts[0] has no path in the guest");
  });

  it.each<[object, object]>([
    [
      {
        networkNamespace: "n",
        allowUnqualifiedDNSQuery: true,
        DNSSearchList: ["a", "b"],
        networkSharedContainerName: "c",
      },
      { Namespace: "n", AllowUnqualifiedDnsQuery: true, DnsSearchList: "a,b", NetworkSharedContainerName: "c" },
    ],
    [{ networkNamespace: "n", DNSSearchList: [], allowUnqualifiedDNSQuery: false }, { Namespace: "n" }],
    [{}, { Namespace: "new" }],
  ])("has the network %j as %j", async (network, expected) => {
    expect((await containerOf({ windows: { network } })).Networking).toEqual(expected);
  });

  it("names the credential that was made, and the children of devices", async () => {
    const devices = [0, 1].map((number) => ({ id: `PCIP\\${number}A`, idType: "vpci" }));
    expect(await containerOf({ windows: { credentialSpec: "{}", devices } })).toMatchObject({
      ContainerCredentialGuard: { Cookie: "cookie" },
      AssignedDevices: [
        { Type: "DeviceInstance", LocationPath: "location 0" },
        { Type: "DeviceInstance", LocationPath: "location 1" },
      ],
    });
  });

  it("says where a host process has its root", async () => {
    const annotations = {
      "microsoft.com/hostprocess-container": "true",
      "microsoft.com/hostprocess-rootfs-location": "C:/x/..//hpc\\",
    };
    expect(await containerOf({ annotations })).toMatchObject({
      IsolationType: "HostProcess",
      Storage: { PrivilegedContainerRootPath: "C:\\hpc" },
    });
    const { "microsoft.com/hostprocess-container": _left, ...others } = annotations;
    expect((await containerOf({ annotations: others })).Storage).not.toHaveProperty("PrivilegedContainerRootPath");
  });

  it("adds the fields of device extensions that guests know", async () => {
    const bench = new PlanBench();
    bench.files.texts.set(
      "C:\\a.json",
      JSON.stringify({
        DEVICE_CATEGORY: { name: "c", interface_class: [{ type: "ClassGuid", recurse: true, more: 1 }] },
        namespace: { ob: { objdir: [{ name: "d", objdir: [] }] }, device: { requires_driverstore: false }, x: 1 },
      }),
    );
    bench.files.texts.set("C:\\b.json", "null");
    const annotations = { "io.microsoft.container.wcow.deviceextensions": "C:\\a.json,C:\\b.json" };
    expect((await containerOf({ annotations }, bench)).AdditionalDeviceNamespace).toEqual({
      device_extension: [
        {
          device_category: { name: "c", interface_class: [{ type: "ClassGuid", recurse: true }] },
          namespace: { ob: { objdir: [{ name: "d" }] }, device: {} },
        },
        {},
      ],
    });
  });
});

describe("the registry", () => {
  const location = "io.microsoft.container.processdumplocation";
  const folderOf = async (annotations: { readonly [key: string]: string }, vmLocation?: string) => {
    const bench = new PlanBench().with({ vm: { processDumpLocation: vmLocation } });
    const values = (await containerOf({ annotations }, bench)).RegistryChanges.AddValues as readonly {
      readonly Name: string;
      readonly StringValue?: string;
    }[];
    return values.find(({ Name }) => Name === "DumpFolder")?.StringValue;
  };

  it.each<[{ readonly [key: string]: string }, string | undefined, string | undefined]>([
    [{}, undefined, undefined],
    [{}, "C:\\vm", "C:\\vm"],
    [{ [location]: "C:\\own" }, "C:\\vm", "C:\\own"],
    [{ [location]: "" }, "C:\\vm", undefined],
    [{}, "C:\\vm\\{container_id}", "C:\\vm\\ctr"],
    [{ [location]: "C:\\{container_id}\\{CONTAINER_ID}" }, undefined, "C:\\{container_id}\\ctr"],
    [{ [location]: "C:\\{Container_Id}" }, undefined, "C:\\{Container_Id}"],
  ])("has dumps with %j and the VM's %j in %j", async (annotations, vmLocation, expected) => {
    expect(await folderOf(annotations, vmLocation)).toBe(expected);
  });

  it("has the kind and count of dumps, then what annotations add", async () => {
    const added = { Key: { Hive: "Software", Name: "a" }, Name: "b", Type: "String", StringValue: "c" };
    const annotations = {
      [location]: "C:\\dumps",
      "io.microsoft.wcow.processdumptype": "mini",
      "io.microsoft.wcow.processdumpcount": "3",
      "io.microsoft.container.wcow.test-registry-annotation": JSON.stringify([added]),
    };
    const { AddValues } = (await containerOf({ annotations })).RegistryChanges;
    expect(AddValues).toMatchObject([
      { Name: "WaitToKillServiceTimeout", StringValue: "2147483647" },
      { Name: "DumpFolder" },
      { Name: "DumpType", DWordValue: 1 },
      { Name: "DumpCount", DWordValue: 3 },
      added,
    ]);
  });
});
