import { closeSync } from "node:fs";
import type { GuestNic } from "../../guest-machine.ts";
import type { SwitchPort, TapPort } from "../../networks/switches.ts";
import type { QmpClient } from "../qmp/qmp-client.ts";
import { QmpError } from "../qmp/qmp-error.ts";
import { Installation, Remains } from "./installation.ts";
import { type Patience, unplug } from "./unplug.ts";

interface Nic {
  readonly device: string;
  readonly port: SwitchPort;
  readonly installation: Installation;
}

/** NICs of a machine: virtio devices whose frames go through taps at the switches. */
export class QemuNics {
  readonly #client: QmpClient;
  readonly #patience: Patience;
  readonly #remains: Remains;
  readonly #nics = new Map<string, Nic>();
  #names = 0;

  constructor(client: QmpClient, patience: Patience, report: (message: string) => void) {
    this.#client = client;
    this.#patience = patience;
    this.#remains = new Remains(report);
  }

  /** After a failure there is no NIC. */
  async add({ id, macAddress, switch: plugInto }: GuestNic): Promise<void> {
    await this.#remains.sweep();
    const installation = new Installation();
    const device = `nic-${++this.#names}`;
    const port = await plugInto.plugTap();
    installation.done(() => port.remove());
    try {
      await this.#plug(device, macAddress, port, installation);
    } catch (error) {
      // The port is this process's own, and has to go even if QEMU has died.
      if (this.#client.isAlive) await this.#remains.undo(installation);
      else await port.remove();
      throw error;
    } finally {
      closeSync(port.descriptor);
    }
    this.#nics.set(id, { device, port, installation });
  }

  async #plug(id: string, mac: string, { descriptor }: TapPort, installation: Installation): Promise<void> {
    await this.#client.execute("getfd", { fdname: id }, descriptor);
    installation.done(() => this.#forget(id));
    // No acceleration in this machine's kernel, which would need another device.
    await this.#client.execute("netdev_add", { type: "tap", id, fd: id, vhost: false });
    installation.done(() => this.#client.execute("netdev_del", { id }));
    // Without its ROM, from which nothing boots.
    await this.#client.execute("device_add", { driver: "virtio-net-pci", id, netdev: id, mac, romfile: "" });
    installation.done(() => unplug(this.#client, id, this.#patience));
  }

  /** The tap's descriptor, if netdev_add has not taken it. */
  async #forget(fdname: string): Promise<void> {
    try {
      await this.#client.execute("closefd", { fdname });
    } catch (error) {
      // Refused only for one that is not there.
      if (!(error instanceof QmpError)) throw error;
    }
  }

  /** The guest sees that its NIC has no link any more. */
  async disconnect(id: string): Promise<void> {
    const nic = this.#nics.get(id);
    if (nic === undefined) return;
    await nic.port.disconnect();
    if (this.#client.isAlive) await this.#client.execute("set_link", { name: nic.device, up: false });
  }

  /** After a failure the NIC is still there; it can be repeated. */
  async remove(id: string): Promise<void> {
    await this.#remains.sweep();
    await this.#nics.get(id)?.installation.remove();
    this.#nics.delete(id);
  }

  /** After the machine's end, when the kernel has removed the taps with QEMU. */
  async release(): Promise<void> {
    const nics = [...this.#nics.values()];
    this.#nics.clear();
    const outcomes = await Promise.allSettled(nics.map(({ port }) => port.remove()));
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join("; "));
  }
}
