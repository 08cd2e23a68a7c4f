/**
 * The network namespaces that the host tells of. Each gathers NICs, and may be given to one container: to that
 * container's namespace the NICs are moved, and set up there. A NIC of a namespace that no container has is left alone.
 */
import { existsSync, readFileSync } from "node:fs";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { NameResolution } from "../pods/files.ts";
import { moveCommands, setUpCommands } from "./commands.ts";
import { type NamespaceOwner, type RunInNetwork, runIp } from "./ip.ts";
import { isJoinedNic } from "./joined.ts";
import type { DescribedAdapter } from "./request.ts";

/** How long a NIC that the host has added may take to appear. */
const nicTimeoutMs = 5000;
const nicPollMs = 10;
const interfaces = "/sys/class/net";
const lowestMtu = 1280;

interface Nic {
  readonly adapter: DescribedAdapter;
  /** The name that the host gave it. */
  readonly hostName: string;
  readonly place: NicPlace;
}

type NicPlace =
  /** In the VM's own network, until a container has its namespace. */
  | { readonly kind: "vm"; readonly mtu: number }
  /** In a namespace that containers join, as it was set up there. */
  | { readonly kind: "joined" };

export class NetworkNamespaces {
  readonly #namespaces = new Map<string, NetworkNamespace>();
  readonly #run: RunInNetwork;

  constructor(run: RunInNetwork) {
    this.#run = run;
  }

  /** By its id in whichever case; the empty text is an id like another. */
  find(id: string): NetworkNamespace | undefined {
    return this.#namespaces.get(id.toLowerCase());
  }

  /** Throws a GuestFault for one that the guest does not know. */
  get(id: string): NetworkNamespace {
    const namespace = this.find(id);
    if (namespace !== undefined) return namespace;
    throw new GuestFault("ERROR_NOT_FOUND", `network namespace ${JSON.stringify(id)} is unknown to the guest`);
  }

  getOrAdd(id: string): NetworkNamespace {
    const known = this.find(id);
    if (known !== undefined) return known;
    const namespace = new NetworkNamespace(id.toLowerCase(), this.#run);
    this.#namespaces.set(id.toLowerCase(), namespace);
    return namespace;
  }

  /**
   * Forgets the namespace whose id is that of a container which has gone. So the real guest does, although ids of
   * containers are none of namespaces: what a container was given stays given.
   */
  forgetContainer(containerId: string): void {
    const namespace = this.find(containerId);
    if (namespace?.isEmpty === true) this.#namespaces.delete(containerId.toLowerCase());
  }
}

export class NetworkNamespace {
  readonly #id: string;
  readonly #run: RunInNetwork;
  #nics: readonly Nic[] = [];
  /** First process of the container that has it. */
  #owner: number | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(id: string, run: RunInNetwork) {
    this.#id = id;
    this.#run = run;
  }

  get isEmpty(): boolean {
    return this.#nics.length === 0;
  }

  /** What all NICs say, each thing once, in the NICs' order. */
  get nameResolution(): NameResolution {
    const unique = (lists: readonly string[]): readonly string[] => [
      ...new Set(lists.flatMap((list) => list.toLowerCase().split(",")).filter((word) => word !== "")),
    ];
    return {
      searches: unique(this.#nics.map(({ adapter }) => adapter.DNSSuffix ?? "")),
      servers: unique(this.#nics.map(({ adapter }) => adapter.DNSServerList ?? "")),
    };
  }

  /** Takes a NIC that the host has plugged in; it is set up when a container has the namespace. */
  add(adapter: DescribedAdapter, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#nics.some((nic) => nic.adapter.ID === adapter.ID)) {
        throw new GuestFault("E_FAIL", `NIC ${adapter.ID} is in network namespace ${JSON.stringify(this.#id)} already`);
      }
      const hostName = hostNameOf(adapter.ID);
      await waitForInterface(hostName, adapter.ID, signal);
      this.#nics = [...this.#nics, { adapter, hostName, place: placeOf(hostName) }];
      await this.#synchronize();
    });
  }

  /** Forgets a NIC, which the host unplugs. An unknown one counts as forgotten. */
  remove(id: string): Promise<void> {
    return this.#inTurn(async () => {
      this.#nics = this.#nics.filter(({ adapter }) => adapter.ID !== id);
    });
  }

  /** Gives the namespace to a container for good, and moves the NICs to it. Throws a GuestFault when another had it. */
  assign(pid: number): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#owner !== undefined) {
        const id = JSON.stringify(this.#id);
        throw new GuestFault(
          "E_FAIL",
          `network namespace ${id} was given to a container before, whose process is or was ${this.#owner}`,
        );
      }
      this.#owner = pid;
      await this.#synchronize();
    });
  }

  /** Sets the NICs up where they are, in the VM's own network. */
  setUpInPlace(): Promise<void> {
    return this.#inTurn(async () => {
      for (const [number, nic] of this.#nics.entries()) {
        if (nic.place.kind === "vm") await this.#setUp(nic, nic.place.mtu, number, undefined);
      }
    });
  }

  /**
   * Moves every NIC anew, as the real guest does, which does not look whether one was moved before: a NIC that comes to
   * a container which has one already cannot be set up.
   */
  async #synchronize(): Promise<void> {
    const owner = this.#owner;
    if (owner === undefined) return;
    for (const [number, nic] of this.#nics.entries()) {
      const { hostName, adapter, place } = nic;
      if (place.kind === "joined") continue;
      if (!existsSync(`${interfaces}/${hostName}`)) {
        throw new GuestFault(
          "E_FAIL",
          `NIC ${adapter.ID} cannot be moved to the network of process ${owner}: it is not in the VM's own network any more`,
        );
      }
      await runIp(moveCommands(hostName, owner), undefined, this.#run);
      await this.#setUp(nic, place.mtu, number, owner);
    }
  }

  /** Only now the real guest looks at what it was told of the NIC, which stays listed whatever comes of it. */
  async #setUp({ adapter, hostName }: Nic, mtu: number, number: number, owner: NamespaceOwner): Promise<void> {
    const { EncapOverhead = 0, ID, IPConfigs = [], problem } = adapter;
    if (problem !== undefined) throw new GuestFault("E_FAIL", `NIC ${ID} cannot be set up: ${problem}`);
    if (mtu - EncapOverhead < lowestMtu) {
      const accepted = `accepted are 0 to ${mtu - lowestMtu}`;
      throw new GuestFault("E_FAIL", `NIC ${ID} cannot be set up: EncapOverhead is ${EncapOverhead}, ${accepted}`);
    }
    if (IPConfigs.length === 0) {
      throw new GuestFault("E_FAIL", `NIC ${ID} cannot be set up: IPConfigs is empty, and no DHCP server answers`);
    }
    await runIp(setUpCommands(adapter, { number, hostName, mtu }), owner, this.#run);
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

/** The name that the emulated host gives the interface of a NIC. */
function hostNameOf(id: string): string {
  return `nic${id.replaceAll("-", "").slice(0, 12)}`;
}

function placeOf(hostName: string): NicPlace {
  if (isJoinedNic(hostName)) return { kind: "joined" };
  return { kind: "vm", mtu: Number(readFileSync(`${interfaces}/${hostName}/mtu`, "utf8")) };
}

async function waitForInterface(name: string, id: string, signal: AbortSignal): Promise<void> {
  for (let waited = 0; !isJoinedNic(name) && !existsSync(`${interfaces}/${name}`); waited += nicPollMs) {
    if (waited >= nicTimeoutMs) {
      throw new GuestFault("E_FAIL", `NIC ${id} has not appeared within ${nicTimeoutMs} ms`);
    }
    await delay(nicPollMs, undefined, { signal });
  }
}
