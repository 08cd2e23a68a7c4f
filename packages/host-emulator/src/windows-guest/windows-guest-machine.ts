import type { VirtualSmbShare } from "@uvm-shim/hcs-schema";
import type { GuestMachine, GuestMachineSpecification, WindowsBoot } from "../guest-machine.ts";
import { ProcessGuestMachine, type ProcessGuestParts } from "../process-guest/process-guest-machine.ts";
import { mapPipe, unmapPipe } from "./pipes.ts";
import { addVsmbShare, removeVsmbShare, updateVsmbShare } from "./vsmb-shares.ts";

/** What a Windows guest's machine is made from. */
export interface WindowsGuest {
  readonly specification: GuestMachineSpecification;
  readonly boot: WindowsBoot;
  /** The host's, which has the sockets that stand for its named pipes. */
  readonly stateDirectory: string;
}

/** A process guest that plays Windows: it has VSMB shares and pipes of the host beside what every process guest has. */
export class WindowsGuestMachine extends ProcessGuestMachine implements Required<GuestMachine> {
  readonly #guest: WindowsGuest;

  constructor(guest: WindowsGuest, parts: ProcessGuestParts) {
    super(guest.specification, parts);
    this.#guest = guest;
  }

  async addVsmbShare(share: VirtualSmbShare): Promise<void> {
    if (!this.#bootsFrom(share.Name)) addVsmbShare(this.init(), share);
  }

  async updateVsmbShare(share: VirtualSmbShare): Promise<void> {
    updateVsmbShare(this.init(), share);
  }

  async removeVsmbShare(name: string): Promise<void> {
    if (!this.#bootsFrom(name)) await removeVsmbShare(this.init(), name);
  }

  async mapPipe(path: string): Promise<void> {
    mapPipe(this.init(), this.#guest.stateDirectory, path);
  }

  async unmapPipe(path: string): Promise<void> {
    await unmapPipe(this.init(), path);
  }

  /** The agent has opened that share before it left the files of this machine, so nothing is to be shown. */
  #bootsFrom(name: string): boolean {
    return name === this.#guest.boot.share;
  }
}
