import type {
  ContainerDevices,
  ContainerDisks,
  ContainerProcess,
  ContainerShares,
  LinuxContainerController,
  ProcessFactory,
} from "@uvm-shim/controller-container";
import type { Plan9Controller } from "@uvm-shim/controller-plan9";
import type { PodContainer, PodController, PodVm } from "@uvm-shim/controller-pod";
import type { ProcessController, UpstreamStdio } from "@uvm-shim/controller-process";
import type { ScsiController } from "@uvm-shim/controller-scsi";
import type { VmController, VmHost } from "@uvm-shim/controller-vm";
import type { VpciController } from "@uvm-shim/controller-vpci";
import type { LinuxGuest } from "@uvm-shim/guest-lcow";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import type * as shim from "@uvm-shim/shim";
import { describe, expectTypeOf, it } from "vitest";

describe("interfaces of the shim to the controllers", () => {
  it("are satisfied", () => {
    type Pod = PodController<shim.ContainerRequest, LinuxContainerController, unknown, shim.DeviceDescriptions>;
    expectTypeOf<Pod>().toExtend<shim.Sandbox>();
    expectTypeOf<LinuxContainerController>().toExtend<shim.Container>();
    expectTypeOf<ProcessController>().toExtend<shim.Process>();
    expectTypeOf<shim.UpstreamStdio>().toExtend<UpstreamStdio>();
  });
});

describe("interfaces of the controllers to each other and to the host", () => {
  it("are satisfied", () => {
    expectTypeOf<VmController<LinuxGuest, ScsiController, Plan9Controller, VpciController>>().toExtend<PodVm>();
    expectTypeOf<LinuxContainerController>().toExtend<PodContainer<shim.ContainerRequest>>();
    expectTypeOf<ProcessController>().toExtend<ContainerProcess>();
    expectTypeOf<ScsiController>().toExtend<ContainerDisks>();
    expectTypeOf<Plan9Controller>().toExtend<ContainerShares>();
    expectTypeOf<VpciController>().toExtend<ContainerDevices>();
    expectTypeOf<ComputeHost>().toExtend<VmHost>();
    expectTypeOf<ReturnType<ProcessFactory>>().toExtend<shim.Process>();
  });
});
