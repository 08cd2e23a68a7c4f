import { closeSync, writeFileSync } from "node:fs";
import { createNetworkNamespace, type NetworkNamespace, openTap } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../hcs-failure.ts";
import { runIp } from "./ip.ts";
import type { PluggedNic, SwitchPort, TapPort, VirtualSwitch, VirtualSwitches } from "./switches.ts";

/** Error of `ip` for a missing link. */
const missingLink = /Cannot find device|does not exist|No such device/;

/** Isolates bridges from each other, and from the traffic of their networks. */
const settings: readonly (readonly [path: string, value: string])[] = [
  ["/proc/sys/net/ipv4/ip_forward", "0"],
  ["/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"],
  ["/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"],
];

/**
 * Linux bridges in a network namespace that only this process holds. The network of this machine is never changed, and
 * the kernel removes everything when this process ends in any way.
 */
export class LinuxSwitches implements VirtualSwitches {
  readonly #bridges = new Map<string, string>();
  #namespace: NetworkNamespace | undefined;
  #names = 0;

  async add(network: string): Promise<void> {
    const bridge = this.#newName("br");
    await this.#ip([`link add ${bridge} type bridge stp_state 0 mcast_snooping 0`, `link set ${bridge} up`]);
    this.#bridges.set(network, bridge);
  }

  async remove(network: string): Promise<void> {
    await this.#removeLink(this.#bridgeOf(network));
    this.#bridges.delete(network);
  }

  of(network: string): VirtualSwitch {
    const bridge = this.#bridgeOf(network);
    return { plug: (nic) => this.#plug(bridge, nic), plugTap: () => this.#plugTap(bridge) };
  }

  close(): void {
    this.#bridges.clear();
    this.#namespace?.close();
    this.#namespace = undefined;
  }

  async #plug(bridge: string, { pid, interfaceName, macAddress }: PluggedNic): Promise<SwitchPort> {
    const port = this.#newName("port");
    const end = `${port}e`;
    try {
      await this.#ip([
        `link add ${port} type veth peer name ${end} address ${macAddress}`,
        `link set ${port} master ${bridge} up`,
        `link set ${end} netns ${pid} name ${interfaceName}`,
      ]);
    } catch (error) {
      await this.#removeLink(port).catch(() => {});
      throw error;
    }
    return this.#portOf(port);
  }

  async #plugTap(bridge: string): Promise<TapPort> {
    const port = this.#newName("port");
    this.#namespace ??= openNamespace();
    const descriptor = this.#namespace.run(() => openTap(port));
    try {
      await this.#ip([`link set ${port} master ${bridge} up`]);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    return { descriptor, ...this.#portOf(port) };
  }

  #portOf(port: string): SwitchPort {
    return {
      disconnect: () => this.#unlessGone(this.#ip([`link set ${port} nomaster down`])),
      remove: () => this.#removeLink(port),
    };
  }

  #removeLink(name: string): Promise<void> {
    return this.#unlessGone(this.#ip([`link del ${name}`]));
  }

  async #unlessGone(outcome: Promise<void>): Promise<void> {
    try {
      await outcome;
    } catch (error) {
      if (!(error instanceof HcsFailure && missingLink.test(error.message))) throw error;
    }
  }

  #bridgeOf(network: string): string {
    const bridge = this.#bridges.get(network);
    if (bridge === undefined) throw new HcsFailure("HCN_E_NETWORK_NOT_FOUND", `network ${network} has no switch`);
    return bridge;
  }

  /** Names are never reused, since the kernel may still be removing the previous link. */
  #newName(kind: string): string {
    this.#names += 1;
    return `${kind}${this.#names}`;
  }

  /** Runs commands of iproute2 in the namespace of the switches, in order, until one fails. */
  async #ip(commands: readonly string[]): Promise<void> {
    this.#namespace ??= openNamespace();
    await runIp(this.#namespace, ["-batch", "-"], `${commands.join("\n")}\n`);
  }
}

function openNamespace(): NetworkNamespace {
  const namespace = createNetworkNamespace();
  try {
    namespace.run(() => {
      for (const [path, value] of settings) writeIfThere(path, value);
    });
    return namespace;
  } catch (error) {
    namespace.close();
    throw error;
  }
}

/** A kernel without IPv6 has no IPv6 settings. */
function writeIfThere(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
