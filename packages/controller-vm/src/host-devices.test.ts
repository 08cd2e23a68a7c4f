import type { Plan9Host } from "@uvm-shim/controller-plan9";
import type { ScsiHost } from "@uvm-shim/controller-scsi";
import type { VpciHost } from "@uvm-shim/controller-vpci";
import type { PipeHost, VsmbHost } from "@uvm-shim/controller-vsmb";
import {
  type ComputeSystemDocument,
  type ModifySettingRequest,
  type ScsiController,
  scsiControllerGuids,
} from "@uvm-shim/hcs-schema";
import { scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, expectTypeOf, it } from "vitest";
import { documentDisks, hostDevices } from "./host-devices.ts";
import { document } from "./testing/index.ts";
import type { VmHostDevices } from "./types.ts";

const [first, second, third, fourth] = scsiControllerGuids;

const never = async (): Promise<boolean> => false;

describe("hostDevices", () => {
  it("is what the device controllers ask of a host", () => {
    expectTypeOf<VmHostDevices>().toExtend<ScsiHost & Plan9Host & VpciHost & VsmbHost & PipeHost>();
  });

  it("turns requests into modifications", async () => {
    const requests: (readonly [ModifySettingRequest, AbortSignal | undefined])[] = [];
    const devices = hostDevices(async (...call) => void requests.push(call), never);
    const { signal } = new AbortController();
    const attachment = { Type: "VirtualDisk", Path: "layer.vhd", ReadOnly: true } as const;
    const share = { Name: "0", AccessName: "0", Path: "/data", Port: 564, Flags: 5 };
    await devices.attachDisk(2, 7, attachment, signal);
    await devices.detachDisk(3, 63, signal);
    await devices.addShare(share, signal);
    await devices.removeShare({ Name: "0", AccessName: "0", Port: 564 }, signal);
    const device = { Functions: [{ DeviceInstancePath: "PCIP\\A", VirtualFunction: 1 }] };
    await devices.assignDevice("6f96", device, signal);
    await devices.unassignDevice("6f96", signal);
    const nic = { EndpointId: "e", MacAddress: "00-15-5D-00-00-01" };
    await devices.addNic("n", nic, signal);
    await devices.removeNic("n", nic, signal);
    const service = { AllowWildcardBinds: true };
    await devices.updateHvSocketService("172dad59-976d-45f2-8b6c-6d1b13f2ac4d", service, signal);
    expect(requests).toEqual([
      [
        {
          ResourcePath: `VirtualMachine/Devices/Scsi/${third}/Attachments/7`,
          RequestType: "Add",
          Settings: attachment,
        },
        signal,
      ],
      [{ ResourcePath: `VirtualMachine/Devices/Scsi/${fourth}/Attachments/63`, RequestType: "Remove" }, signal],
      [{ ResourcePath: "VirtualMachine/Devices/Plan9/Shares", RequestType: "Add", Settings: share }, signal],
      [
        {
          ResourcePath: "VirtualMachine/Devices/Plan9/Shares",
          RequestType: "Remove",
          Settings: { Name: "0", AccessName: "0", Port: 564 },
        },
        signal,
      ],
      [{ ResourcePath: "VirtualMachine/Devices/VirtualPci/6f96", RequestType: "Add", Settings: device }, signal],
      [{ ResourcePath: "VirtualMachine/Devices/VirtualPci/6f96", RequestType: "Remove" }, signal],
      [{ ResourcePath: "VirtualMachine/Devices/NetworkAdapters/n", RequestType: "Add", Settings: nic }, signal],
      [{ ResourcePath: "VirtualMachine/Devices/NetworkAdapters/n", RequestType: "Remove", Settings: nic }, signal],
      [
        {
          ResourcePath:
            "VirtualMachine/Devices/HvSocket/HvSocketConfig/ServiceTable/172dad59-976d-45f2-8b6c-6d1b13f2ac4d",
          RequestType: "Update",
          Settings: service,
        },
        signal,
      ],
    ]);
  });

  it.each([
    ["disk", (devices: VmHostDevices) => devices.detachDisk(0, 1)],
    ["share", (devices: VmHostDevices) => devices.removeShare({ Name: "0", AccessName: "0", Port: 564 })],
    ["VSMB share", (devices: VmHostDevices) => devices.removeVsmbShare({ Name: "s1" })],
    ["pipe", (devices: VmHostDevices) => devices.unmapPipe("\\\\.\\pipe\\a")],
    ["device", (devices: VmHostDevices) => devices.unassignDevice("6f96")],
    ["NIC", (devices: VmHostDevices) => devices.removeNic("n", { EndpointId: "e", MacAddress: "00-15-5D-00-00-01" })],
  ])("counts a %s that an ending VM does not release as gone once it has ended", async (_, remove) => {
    const ending = scriptedError("FailedPrecondition", "cannot modify a system in state Ending");
    const modify = () => Promise.reject(ending);
    await expect(remove(hostDevices(modify, async () => true))).rejects.toMatchObject({ gone: true, cause: ending });
    await expect(remove(hostDevices(modify, never))).rejects.toBe(ending);
  });

  it("turns VSMB shares and pipes into modifications", async () => {
    const requests: ModifySettingRequest[] = [];
    const devices = hostDevices(async (request) => void requests.push(request), never);
    const share = { Name: "s1", Path: "C:\\data", Options: { ReadOnly: true } };
    await devices.addVsmbShare(share);
    await devices.updateVsmbShare(share);
    await devices.removeVsmbShare({ Name: "s1" });
    await devices.mapPipe("\\\\.\\pipe\\a");
    await devices.unmapPipe("\\\\.\\pipe\\a");
    const shares = "VirtualMachine/Devices/VirtualSmb/Shares";
    const pipe = "VirtualMachine/Devices/MappedPipes/\\\\.\\pipe\\a";
    expect(requests).toEqual([
      { ResourcePath: shares, RequestType: "Add", Settings: share },
      { ResourcePath: shares, RequestType: "Update", Settings: share },
      { ResourcePath: shares, RequestType: "Remove", Settings: { Name: "s1" } },
      { ResourcePath: pipe, RequestType: "Add" },
      { ResourcePath: pipe, RequestType: "Remove" },
    ]);
  });

  it("refuses a controller that no VM has", async () => {
    const devices = hostDevices(async () => {}, never);
    await expect(devices.detachDisk(4, 0)).rejects.toMatchObject({ code: "InvalidArgument" });
  });
});

describe("documentDisks", () => {
  const withScsi = (scsi: Record<string, ScsiController>): ComputeSystemDocument => ({
    ...document,
    VirtualMachine: { ...document.VirtualMachine, Devices: { Scsi: scsi } },
  });
  const disk = { Type: "VirtualDisk", Path: "d" } as const;

  it.each([
    [{}, { controllers: 0, reserved: [] }],
    [{ [first]: {} }, { controllers: 1, reserved: [] }],
    [
      { [second.toUpperCase()]: { Attachments: { "63": disk } }, [first]: { Attachments: { "0": disk } } },
      {
        controllers: 2,
        reserved: [
          { controller: 1, lun: 63, attachment: disk },
          { controller: 0, lun: 0, attachment: disk },
        ],
      },
    ],
    [
      { "0": {}, "1": { Attachments: { "5": disk } } },
      { controllers: 2, reserved: [{ controller: 1, lun: 5, attachment: disk }] },
    ],
  ])("reads %j", (scsi, expected) => {
    expect(documentDisks("vm-1", withScsi(scsi))).toEqual(expected);
  });

  it("reads a document without devices", () => {
    const { Devices: _, ...bare } = document.VirtualMachine;
    expect(documentDisks("vm-1", { ...document, VirtualMachine: bare })).toEqual({ controllers: 0, reserved: [] });
  });

  it.each([
    [{ [second]: {} }, second],
    [{ "0": {}, [first]: {} }, "once"],
    [{ "11111111-2222-3333-4444-555555555555": {} }, "11111111-2222-3333-4444-555555555555"],
    [{ [first]: { Attachments: { "64": disk } } }, "Attachments.64: expected a LUN from 0 to 63"],
    [{ [first]: { Attachments: { x: disk } } }, "Attachments.x"],
  ])("refuses %j", (scsi, message) => {
    expect(() => documentDisks("vm-1", withScsi(scsi))).toThrow(message);
  });
});
