import { type ModifySettingRequest, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { FakeComputeService } from "./fake-service.ts";
import type { FakeSystem } from "./fake-system.ts";

/** A running system with all SCSI controllers, Plan9 and VSMB. `modify` takes effect at once. */
export class FakeRunningVm {
  readonly service = new FakeComputeService();
  readonly system: FakeSystem;

  constructor(id: string) {
    this.system = this.service.create(id, {
      Owner: "test",
      SchemaVersion: { Major: 2, Minor: 1 },
      VirtualMachine: {
        Chipset: {},
        ComputeTopology: { Memory: { SizeInMB: 1024 }, Processor: { Count: 2 } },
        Devices: { Plan9: {}, VirtualSmb: {}, Scsi: Object.fromEntries(scsiControllerGuids.map((guid) => [guid, {}])) },
      },
    });
    this.system.start();
  }

  /** Throws the HostError that a client would get. */
  modify(request: ModifySettingRequest): void {
    const operation = `${request.RequestType} ${request.ResourcePath} of compute system`;
    this.service.perform({ operation, id: this.system.id }, () => this.system.modify(request));
  }
}
