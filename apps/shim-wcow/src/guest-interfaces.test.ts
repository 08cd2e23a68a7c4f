import type { ContainerGuest, GuestContainer, WindowsGuestProcess } from "@uvm-shim/controller-container-wcow";
import type { NetworkQueries, WindowsNetworkGuest } from "@uvm-shim/controller-network";
import type { GuestProcess, ProcessGuest } from "@uvm-shim/controller-process";
import type { WindowsScsiGuest } from "@uvm-shim/controller-scsi";
import type { VmGuest, WindowsVmGuest } from "@uvm-shim/controller-vm";
import type { WindowsContainer, WindowsGuest, WindowsProcess } from "@uvm-shim/guest-wcow";
import type { HostNetworks } from "@uvm-shim/hcs-bindings";
import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import { describe, expectTypeOf, it } from "vitest";

type Signal = number | string;

describe("interfaces of the controllers to a Windows guest and its host", () => {
  it("are satisfied", () => {
    expectTypeOf<WindowsGuest>().toExtend<VmGuest & WindowsVmGuest & ContainerGuest>();
    expectTypeOf<WindowsGuest>().toExtend<WindowsScsiGuest & WindowsNetworkGuest>();
    expectTypeOf<HostNetworks>().toExtend<NetworkQueries>();
    expectTypeOf<WindowsContainer>().toExtend<GuestContainer & ProcessGuest<WindowsProcessParameters, Signal>>();
    expectTypeOf<WindowsProcess>().toExtend<GuestProcess<Signal> & WindowsGuestProcess>();
  });
});
