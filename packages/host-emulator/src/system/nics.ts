import { checkNetworkAdapter } from "@uvm-shim/hcs-schema";
import type { GuestMachine } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import type { Attachment, NetworkService } from "../networks/network-service.ts";

/** NICs of a compute system, by the ids of its client. */
export class SystemNics {
  readonly #networks: NetworkService;
  readonly #report: (message: string) => void;
  readonly #attachments = new Map<string, Attachment>();

  constructor(networks: NetworkService, report: (message: string) => void) {
    this.#networks = networks;
    this.#report = report;
  }

  async add(machine: GuestMachine, id: string, settings: unknown): Promise<void> {
    const { EndpointId, MacAddress } = checkNetworkAdapter(settings, "Settings");
    if (this.#attachments.has(id)) throw new HcsFailure("ERROR_ALREADY_EXISTS", `NIC ${id} already exists`);
    const attachment = this.#networks.attach(EndpointId, MacAddress, () => {
      machine.disconnectNic(id).catch((error: unknown) => this.#report(`NIC ${id}: ${String(error)}`));
    });
    try {
      await machine.addNic({ id, macAddress: attachment.macAddress, switch: attachment.switch });
    } catch (error) {
      attachment.release();
      throw error;
    }
    this.#attachments.set(id, attachment);
  }

  async remove(machine: GuestMachine, id: string): Promise<void> {
    const attachment = this.#attachments.get(id);
    if (attachment === undefined) throw new HcsFailure("ERROR_NOT_FOUND", `NIC ${id} does not exist`);
    await machine.removeNic(id);
    this.#attachments.delete(id);
    attachment.release();
  }

  /** After the machine's end, which has already removed the NICs. */
  release(): void {
    for (const attachment of this.#attachments.values()) attachment.release();
    this.#attachments.clear();
  }
}
