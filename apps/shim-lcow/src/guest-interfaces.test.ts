import type { ContainerGuest, ContainerHostFiles, GuestContainer } from "@uvm-shim/controller-container";
import type { LinuxNetworkGuest, NetworkQueries } from "@uvm-shim/controller-network";
import type { Plan9Guest } from "@uvm-shim/controller-plan9";
import type { GuestProcess, ProcessGuest } from "@uvm-shim/controller-process";
import type { LinuxScsiGuest } from "@uvm-shim/controller-scsi";
import type { LinuxVmGuest, VmGuest } from "@uvm-shim/controller-vm";
import type { LinuxVpciGuest } from "@uvm-shim/controller-vpci";
import type { LinuxContainer, LinuxGuest, LinuxProcess } from "@uvm-shim/guest-lcow";
import type { HostNetworks, PosixHostFiles } from "@uvm-shim/hcs-bindings";
import { describe, expectTypeOf, it } from "vitest";

describe("interfaces of the controllers to a Linux guest and its host", () => {
  it("are satisfied", () => {
    expectTypeOf<LinuxGuest>().toExtend<VmGuest & LinuxVmGuest & ContainerGuest>();
    expectTypeOf<LinuxGuest>().toExtend<LinuxScsiGuest & Plan9Guest & LinuxVpciGuest & LinuxNetworkGuest>();
    expectTypeOf<HostNetworks>().toExtend<NetworkQueries>();
    expectTypeOf<LinuxContainer>().toExtend<GuestContainer & ProcessGuest>();
    expectTypeOf<LinuxProcess>().toExtend<GuestProcess>();
    expectTypeOf<PosixHostFiles>().toExtend<ContainerHostFiles>();
  });
});
