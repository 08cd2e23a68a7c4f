import { nicInterface } from "@uvm-shim/host-protocol/guest";
import type { GuestNic } from "../guest-machine.ts";
import type { SwitchPort } from "../networks/switches.ts";

/** NICs of a process guest. Each is an interface in its network namespace, connected to a port of a switch. */
export class GuestNics {
  readonly #ports = new Map<string, SwitchPort>();

  async add(init: number, { id, macAddress, switch: plugInto }: GuestNic): Promise<void> {
    const port = await plugInto.plug({ pid: init, interfaceName: nicInterface(id), macAddress });
    this.#ports.set(id, port);
  }

  async disconnect(id: string): Promise<void> {
    await this.#ports.get(id)?.disconnect();
  }

  async remove(id: string): Promise<void> {
    await this.#ports.get(id)?.remove();
    this.#ports.delete(id);
  }

  /** After the guest's end, when the kernel removes the NICs asynchronously. */
  async release(): Promise<void> {
    const ports = [...this.#ports.values()];
    this.#ports.clear();
    const failures = (await Promise.allSettled(ports.map((port) => port.remove()))).flatMap((outcome) =>
      outcome.status === "rejected" ? [outcome.reason as unknown] : [],
    );
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("; "));
  }
}
