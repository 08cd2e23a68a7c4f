import type {
  BlockCimController,
  CimDisks,
  ContainerCims,
  ContainerDevices,
  ContainerDisks,
  ContainerHostServices,
  ContainerPipes,
  ContainerProcess,
  ContainerShares,
  ProcessFactory,
  WindowsContainerController,
} from "@uvm-shim/controller-container-wcow";
import type { PodContainer, PodController, PodVm } from "@uvm-shim/controller-pod";
import type { ProcessController, UpstreamStdio, WindowsProcessDescription } from "@uvm-shim/controller-process";
import type { ScsiController, WindowsDiskMount, WindowsScsiGuest } from "@uvm-shim/controller-scsi";
import type { VmController, VmHost } from "@uvm-shim/controller-vm";
import type { VpciController } from "@uvm-shim/controller-vpci";
import type { PipeController, VsmbController } from "@uvm-shim/controller-vsmb";
import type { WindowsGuest } from "@uvm-shim/guest-wcow";
import type { ComputeHost, WindowsGuestServices } from "@uvm-shim/hcs-bindings";
import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import type * as shim from "@uvm-shim/shim";
import { describe, expectTypeOf, it } from "vitest";

type WindowsProcessController = ProcessController<WindowsProcessDescription, WindowsProcessParameters, number | string>;

describe("interfaces of the shim to the controllers", () => {
  it("are satisfied", () => {
    type Pod = PodController<shim.ContainerRequest, WindowsContainerController, unknown, shim.DeviceDescriptions>;
    expectTypeOf<Pod>().toExtend<shim.Sandbox>();
    expectTypeOf<WindowsContainerController>().toExtend<shim.Container>();
    expectTypeOf<WindowsProcessController>().toExtend<shim.Process>();
    expectTypeOf<shim.UpstreamStdio>().toExtend<UpstreamStdio>();
  });
});

describe("interfaces of the controllers to each other and to the host", () => {
  it("are satisfied", () => {
    expectTypeOf<VmController<WindowsGuest, unknown, never, VpciController>>().toExtend<PodVm>();
    expectTypeOf<WindowsContainerController>().toExtend<PodContainer<shim.ContainerRequest>>();
    expectTypeOf<WindowsProcessController>().toExtend<ContainerProcess>();
    expectTypeOf<ScsiController<WindowsScsiGuest, WindowsDiskMount>>().toExtend<ContainerDisks>();
    expectTypeOf<ScsiController<WindowsScsiGuest, WindowsDiskMount>>().toExtend<CimDisks>();
    expectTypeOf<BlockCimController>().toExtend<ContainerCims>();
    expectTypeOf<VsmbController>().toExtend<ContainerShares>();
    expectTypeOf<PipeController>().toExtend<ContainerPipes>();
    expectTypeOf<VpciController>().toExtend<ContainerDevices>();
    expectTypeOf<WindowsGuestServices>().toExtend<ContainerHostServices>();
    expectTypeOf<ComputeHost>().toExtend<VmHost>();
    expectTypeOf<ReturnType<ProcessFactory>>().toExtend<shim.Process>();
  });
});
