import { GuestFault, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { settled } from "@uvm-shim/gcs-bridge/testing";
import type { HcnEndpoint, HcnNamespace, TimeZoneInformation } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import type { WindowsGuest } from "./guest.ts";
import { FakeWindowsGuest, windowsCapabilities } from "./testing/fake-guest.ts";

const local = "5ca1ab1e-1111-4222-8333-444455556666";
const parent = "894cc2d6-9d79-424f-93fe-42969ae6d8d1";
const layerId = "d0b0a127-3f32-520d-a7a3-6ec17acb5fbe";
const share = String.raw`\\?\VMSMB\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\s1`;
const nic = "ed6c5043-284a-48cd-9d26-ce3c8a2cbcf7";
const defined = windowsCapabilities.GuestDefinedCapabilities;

const afterStart = (fake: FakeWindowsGuest): unknown[] => fake.seen.slice(2);

describe("connecting to a Windows guest", () => {
  it("creates the VM's own system with the time zone, then starts it", async () => {
    const timeZone: TimeZoneInformation = {
      Bias: -60,
      StandardName: "CET",
      StandardDate: { Month: 10, Day: 5, Hour: 3 },
      DaylightName: "CEST",
      DaylightDate: { Month: 3, Day: 5, Hour: 2 },
      DaylightBias: -60,
    };
    const fake = new FakeWindowsGuest({}, {}, timeZone);
    const guest = await fake.connect();
    const ContainerConfig = JSON.stringify({ SystemType: "Container", TimeZoneInformation: timeZone });
    expect(fake.seen).toEqual([
      { procedure: "create", containerId: uvmContainerId, body: { ContainerConfig } },
      { procedure: "start", containerId: uvmContainerId, body: {} },
    ]);
    await guest.close();
    expect(await guest.closed).toBeUndefined();
  });

  it.each([
    [{ SendHostCreateMessage: false }, []],
    [{ SendHostStartMessage: false }, ["create"]],
  ])("sends only the messages that a guest of %j expects", async (told, procedures) => {
    const fake = new FakeWindowsGuest({}, told);
    const guest = await fake.connect();
    expect(fake.seen.map(({ procedure }) => procedure)).toEqual(procedures);
    await guest.close();
  });

  it.each(["", "Windows", "windows"])("accepts the operating system %j", async (RuntimeOsType) => {
    const guest = await new FakeWindowsGuest({}, { RuntimeOsType }).connect();
    expect(guest.canDumpStacks).toBe(true);
    await guest.close();
  });

  it("refuses a Linux guest, and closes the stream", async () => {
    const fake = new FakeWindowsGuest({}, { RuntimeOsType: "Linux" });
    await expect(fake.connect()).rejects.toMatchObject({
      code: "Unimplemented",
      message: expect.stringContaining('unsupported guest operating system "Linux": expected "Windows" or nothing'),
    });
    expect(fake.hostStream.destroyed).toBe(true);
    expect(fake.seen).toEqual([]);
  });

  it("tells what the guest can do", async () => {
    for (const can of [true, false]) {
      const GuestDefinedCapabilities = {
        ...defined,
        NamespaceAddRequestSupported: can,
        DumpStacksSupported: can,
        LogForwardingSupported: can,
        HostProcessContainerSupported: can,
      };
      const guest = await new FakeWindowsGuest({}, { GuestDefinedCapabilities }).connect();
      expect([
        guest.supportsNetworkNamespaces,
        guest.canDumpStacks,
        guest.supportsLogForwarding,
        guest.supportsHostProcessContainers,
      ]).toEqual([can, can, can, can]);
      await guest.close();
    }
  });
});

describe("modifying a Windows guest", () => {
  const disk = { ContainerPath: String.raw`C:\mounts\scsi\0_1_0`, Lun: 1 };
  const directory = { HostPath: share, ContainerPath: String.raw`C:\data`, ReadOnly: true };
  const root = { ContainerRootPath: disk.ContainerPath };
  const layers = { ...root, Layers: [{ Id: layerId, Path: share }] };
  const confidential = { ContainerID: "ctr", CombinedLayers: { ...layers, FilterType: "UnionFS" } } as const;
  const cims = {
    BlockCIMs: [{ CimName: "layer.cim", Lun: 3 }],
    VolumeGUID: layerId,
    MountFlags: 16,
    ContainerID: "ctr",
  };
  const address = { LocalAddress: local, ParentAddress: parent };
  const policy = { EnforcerType: "rego", EncodedSecurityPolicy: "cGFja2FnZQ==" };
  const fragment = { Fragment: "eA==" };

  it.each<[string, (guest: WindowsGuest) => Promise<void>, string, string, unknown]>([
    ["updateHvSocketAddress", (guest) => guest.updateHvSocketAddress(address), "HvSocket", "Update", address],
    ["mountDisk", (guest) => guest.mountDisk(disk), "MappedVirtualDisk", "Add", disk],
    ["mountScratchDisk", (guest) => guest.mountScratchDisk(disk), "MappedVirtualDiskForContainerScratch", "Add", disk],
    ["unmountDisk", (guest) => guest.unmountDisk(disk), "MappedVirtualDisk", "Remove", disk],
    ["mapDirectory", (guest) => guest.mapDirectory(directory), "MappedDirectory", "Add", directory],
    ["addCombinedLayers", (guest) => guest.addCombinedLayers(layers), "CombinedLayers", "Add", layers],
    ["removeCombinedLayers", (guest) => guest.removeCombinedLayers(layers), "CombinedLayers", "Remove", root],
    [
      "addConfidentialLayers",
      (guest) => guest.addConfidentialLayers(confidential),
      "CWCOWCombinedLayers",
      "Add",
      confidential,
    ],
    [
      "removeConfidentialLayers",
      (guest) => guest.removeConfidentialLayers(confidential),
      "CWCOWCombinedLayers",
      "Remove",
      { ContainerID: "ctr", CombinedLayers: root },
    ],
    ["mountBlockCims", (guest) => guest.mountBlockCims(cims), "WCOWBlockCims", "Add", cims],
    ["unmountBlockCims", (guest) => guest.unmountBlockCims(cims), "WCOWBlockCims", "Remove", { VolumeGUID: layerId }],
    ["setSecurityPolicy", (guest) => guest.setSecurityPolicy(policy), "SecurityPolicy", "Add", policy],
    [
      "injectPolicyFragment",
      (guest) => guest.injectPolicyFragment(fragment),
      "SecurityPolicyFragment",
      "Add",
      fragment,
    ],
  ])("%s asks the VM itself for it", async (_name, act, ResourceType, RequestType, Settings) => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    await act(guest);
    const body = { Request: { ResourceType, RequestType, Settings } };
    expect(afterStart(fake)).toEqual([{ procedure: "modifySettings", containerId: uvmContainerId, body }]);
    await guest.close();
  });

  it("adds and removes a namespace and a NIC in their steps, without fields that the guest does not know", async () => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    const namespace = { ID: local, NamespaceId: 7, Type: "Host", SchemaVersion: { Major: 2, Minor: 0 } };
    const endpoint = { ID: layerId, Name: "cni_eth0", HostComputeNetwork: local, MacAddress: "00-15-5D-00-00-02" };
    const newer = <T>(known: object): T => ({ ...known, NewerField: { a: 1 } }) as T;
    await guest.addNetworkNamespace(newer<HcnNamespace>(namespace));
    await guest.preAddNetworkInterface(nic, newer<HcnEndpoint>(endpoint));
    await guest.addNetworkInterface(nic);
    await guest.removeNetworkInterface(nic);
    await guest.removeNetworkNamespace(newer<HcnNamespace>(namespace));
    const requests = fake.bodies("modifySettings").map(({ Request }) => Request);
    expect(requests).toEqual([
      { ResourceType: "NetworkNamespace", RequestType: "Add", Settings: namespace },
      {
        ResourceType: "Network",
        RequestType: "Add",
        Settings: { AdapterId: nic, RequestType: "PreAdd", Settings: endpoint },
      },
      { ResourceType: "Network", RequestType: "Add", Settings: { AdapterId: nic, RequestType: "Add" } },
      { ResourceType: "Network", RequestType: "Remove", Settings: { AdapterId: nic, RequestType: "Remove" } },
      { ResourceType: "NetworkNamespace", RequestType: "Remove", Settings: namespace },
    ]);
    await guest.close();
  });

  type Act = (guest: WindowsGuest) => Promise<void>;

  it.each<[string, Act, Act, number, object]>([
    [
      "a scratch disk, as an ordinary disk",
      (guest) => guest.mountScratchDisk(disk),
      (guest) => guest.unmountDisk(disk),
      100_000,
      { ResourceType: "MappedVirtualDisk", RequestType: "Remove", Settings: disk },
    ],
    [
      "combined layers, by their root",
      (guest) => guest.addCombinedLayers(layers),
      (guest) => guest.removeCombinedLayers(layers),
      60_000,
      { ResourceType: "CombinedLayers", RequestType: "Remove", Settings: root },
    ],
  ])("removes again what the guest added after its removal: %s", async (_name, add, remove, bound, Request) => {
    const answers: (() => void)[] = [];
    const fake = new FakeWindowsGuest({
      modifySettings: ({ Request: { RequestType } }) =>
        RequestType === "Add" ? new Promise((resolve) => answers.push(() => resolve({}))) : Promise.resolve({}),
    });
    const guest = await fake.connect();
    const adding = expect(add(guest)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await settled();
    expect(fake.delays).toEqual([bound]);
    fake.expire();
    await adding;
    await remove(guest);
    await settled();
    for (const answer of answers) answer();
    await settled();
    expect(fake.bodies("modifySettings").slice(1)).toEqual([{ Request }, { Request }]);
    await guest.close();
  });
});

describe("log forwarding", () => {
  it("names the sources, starts and stops", async () => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    await guest.startLogForwarding("e30=");
    await guest.stopLogForwarding();
    const PropertyType = "LogForwardService";
    expect(fake.bodies("modifyServiceSettings")).toEqual([
      { PropertyType, Settings: { RPCType: "ModifyServiceSettings", Settings: "e30=" } },
      { PropertyType, Settings: { RPCType: "StartLogForwarding" } },
      { PropertyType, Settings: { RPCType: "StopLogForwarding" } },
    ]);
    await guest.close();
  });

  it("is not started where the sources are refused", async () => {
    const fake = new FakeWindowsGuest({
      modifyServiceSettings: async () => {
        throw new GuestFault("E_ACCESSDENIED", "denied by policy");
      },
    });
    const guest = await fake.connect();
    await expect(guest.startLogForwarding("e30=")).rejects.toMatchObject({ hresultName: "E_ACCESSDENIED" });
    expect(fake.bodies("modifyServiceSettings")).toHaveLength(1);
    await guest.close();
  });

  it("is Unimplemented in a guest without it", async () => {
    const fake = new FakeWindowsGuest({}, { GuestDefinedCapabilities: { ...defined, LogForwardingSupported: false } });
    const guest = await fake.connect();
    await expect(guest.startLogForwarding("e30=")).rejects.toMatchObject({
      code: "Unimplemented",
      message: expect.stringContaining("capability LogForwardingSupported is missing"),
    });
    expect(fake.bodies("modifyServiceSettings")).toEqual([]);
    await guest.close();
  });
});

it("returns the guest's stacks", async () => {
  const guest = await new FakeWindowsGuest().connect();
  expect(await guest.dumpStacks()).toBe("stacks");
  await guest.close();
});
