import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import { refusing } from "@uvm-shim/lifecycle";
import { documentDisks, isPciOff } from "./host-devices.ts";
import type { DeviceWiring, VmDevices, VmGuest } from "./types.ts";

/** The device controllers of one VM: that of its disks is made with it, each of the others at its first use. */
export class DeviceControllers<Guest extends VmGuest, Scsi, Plan9, Vpci, Vsmb> {
  readonly wiring: DeviceWiring<Guest>;
  readonly #document: ComputeSystemDocument;
  readonly #makers: VmDevices<Guest, Scsi, Plan9, Vpci, Vsmb>;
  readonly #scsi: Scsi | undefined;
  #plan9: Plan9 | undefined;
  #vpci: Vpci | undefined;
  #vsmb: Vsmb | undefined;

  /** InvalidArgument for a document with disks whose slots cannot be addressed. */
  constructor(
    wiring: DeviceWiring<Guest>,
    document: ComputeSystemDocument,
    makers: VmDevices<Guest, Scsi, Plan9, Vpci, Vsmb>,
  ) {
    const disks = documentDisks(wiring.id, document);
    this.wiring = wiring;
    this.#document = document;
    this.#makers = makers;
    this.#scsi = disks.controllers === 0 ? undefined : makers.scsi({ ...wiring, ...disks });
  }

  get scsi(): Scsi {
    if (this.#scsi !== undefined) return this.#scsi;
    throw this.#refuse("use SCSI of", "FailedPrecondition", "the VM's document has no SCSI controller");
  }

  get plan9(): Plan9 {
    const { plan9 } = this.#makers;
    if (plan9 === undefined)
      throw this.#refuse("use Plan9 of", "Unimplemented", "guests of this flavour have no Plan9");
    if (this.#document.VirtualMachine.Devices?.Plan9 === undefined) {
      throw this.#refuse("use Plan9 of", "FailedPrecondition", "the VM's document has no Plan9 device");
    }
    this.#plan9 ??= plan9(this.wiring);
    return this.#plan9;
  }

  get vpci(): Vpci {
    const { vpci } = this.#makers;
    const operation = "assign devices to";
    if (vpci === undefined) {
      throw this.#refuse(operation, "Unimplemented", "VMs of this flavour support no assigned devices");
    }
    if (isPciOff(this.#document)) {
      throw this.#refuse(operation, "FailedPrecondition", "the kernel command line has pci=off");
    }
    this.#vpci ??= vpci(this.wiring);
    return this.#vpci;
  }

  get vsmb(): Vsmb {
    const { vsmb } = this.#makers;
    if (vsmb === undefined) throw this.#refuse("use VSMB of", "Unimplemented", "guests of this flavour have no VSMB");
    const { VirtualSmb: device } = this.#document.VirtualMachine.Devices ?? {};
    if (device === undefined) {
      throw this.#refuse("use VSMB of", "FailedPrecondition", "the VM's document has no VirtualSmb device");
    }
    this.#vsmb ??= vsmb({ ...this.wiring, names: (device.Shares ?? []).map(({ Name }) => Name) });
    return this.#vsmb;
  }

  /** Those that have been made so far. */
  get made() {
    return { scsi: this.#scsi, plan9: this.#plan9, vpci: this.#vpci, vsmb: this.#vsmb };
  }

  #refuse(operation: string, code: "FailedPrecondition" | "Unimplemented", message: string) {
    return refusing(operation, this.wiring.id)(code, message);
  }
}
