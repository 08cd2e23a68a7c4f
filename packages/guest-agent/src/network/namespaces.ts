/**
 * The network namespaces of the host's requests. Each has NICs and may be assigned to one container, to whose own
 * namespace the NICs are then moved and set up. Without a container, the NICs are left alone.
 */
import { existsSync, readFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import {
  moveCommands,
  type NamespaceOwner,
  type RunInNetwork,
  runIp,
  setUpCommands,
} from "@uvm-shim/guest-agent-common";
import type { LinuxNetworkAdapter } from "@uvm-shim/hcs-schema";
import { nicInterface } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import type { NameResolution } from "../pods/pod-files.ts";
import { isJoinedNic } from "./joined-networks.ts";
import type { DescribedAdapter } from "./request.ts";

/** How long an added NIC may take to appear. */
const nicTimeoutMs = 5000;
const nicPollMs = 10;
const interfaces = "/sys/class/net";
const lowestMtu = 1280;

/** The name of a NIC's interface in the VM's own network; undefined while it is absent. */
export type NicFinder = (adapter: LinuxNetworkAdapter) => string | undefined;

interface Nic {
  readonly adapter: DescribedAdapter;
  /** The name that the host gave its interface. */
  readonly hostName: string;
  readonly place: NicPlace;
}

type NicPlace =
  /** In the VM's own network, until its namespace is assigned to a container. */
  | { readonly kind: "vm"; readonly mtu: number }
  /** Already set up in a namespace that containers join. */
  | { readonly kind: "joined" };

/** The network namespaces that the host knows, by id. */
export class NetworkNamespaces {
  readonly #namespaces = new Map<string, NetworkNamespace>();
  readonly #find: NicFinder;
  readonly #run: RunInNetwork;

  constructor(find: NicFinder, run: RunInNetwork) {
    this.#find = find;
    this.#run = run;
  }

  /** Ids match in any case; the empty text is a valid id. */
  find(id: string): NetworkNamespace | undefined {
    return this.#namespaces.get(id.toLowerCase());
  }

  /** Throws a GuestFault for an unknown id. */
  get(id: string): NetworkNamespace {
    const namespace = this.find(id);
    if (namespace !== undefined) return namespace;
    throw new GuestFault("ERROR_NOT_FOUND", `network namespace ${JSON.stringify(id)} does not exist in the guest`);
  }

  getOrAdd(id: string): NetworkNamespace {
    const known = this.find(id);
    if (known !== undefined) return known;
    const namespace = new NetworkNamespace(id.toLowerCase(), this.#find, this.#run);
    this.#namespaces.set(id.toLowerCase(), namespace);
    return namespace;
  }

  /**
   * Removes the namespace with the id of a removed container, as the real guest does, although a container and its
   * namespace have different ids: an assigned namespace stays assigned.
   */
  forgetContainer(containerId: string): void {
    const namespace = this.find(containerId);
    if (namespace?.isEmpty === true) this.#namespaces.delete(containerId.toLowerCase());
  }
}

/** NICs that wait for the container that holds the namespace, or are in it. */
export class NetworkNamespace {
  readonly #id: string;
  readonly #find: NicFinder;
  readonly #run: RunInNetwork;
  #nics: readonly Nic[] = [];
  /** First process of the container that it is assigned to. */
  #owner: number | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(id: string, find: NicFinder, run: RunInNetwork) {
    this.#id = id;
    this.#find = find;
    this.#run = run;
  }

  get isEmpty(): boolean {
    return this.#nics.length === 0;
  }

  /** Of all NICs, in their order, without duplicates. */
  get nameResolution(): NameResolution {
    const unique = (lists: readonly string[]): readonly string[] => [
      ...new Set(lists.flatMap((list) => list.toLowerCase().split(",")).filter((word) => word !== "")),
    ];
    return {
      searches: unique(this.#nics.map(({ adapter }) => adapter.DNSSuffix ?? "")),
      servers: unique(this.#nics.map(({ adapter }) => adapter.DNSServerList ?? "")),
    };
  }

  /** Adds a NIC that the host has attached; it is set up once the namespace is assigned. */
  add(adapter: DescribedAdapter, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#nics.some((nic) => nic.adapter.ID === adapter.ID)) {
        throw new GuestFault("E_FAIL", `NIC ${adapter.ID} is already in network namespace ${JSON.stringify(this.#id)}`);
      }
      const hostName = await this.#appearanceOf(adapter, signal);
      this.#nics = [...this.#nics, { adapter, hostName, place: placeOf(hostName) }];
      await this.#synchronize();
    });
  }

  /** Removes a NIC, which the host detaches. An unknown one counts as removed. */
  remove(id: string): Promise<void> {
    return this.#inTurn(async () => {
      this.#nics = this.#nics.filter(({ adapter }) => adapter.ID !== id);
    });
  }

  /** Assigns the namespace to a container for good, and moves the NICs. Throws a GuestFault if it was assigned before. */
  assign(pid: number): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#owner !== undefined) {
        const id = JSON.stringify(this.#id);
        throw new GuestFault(
          "E_FAIL",
          `network namespace ${id} is already assigned to the container of process ${this.#owner}`,
        );
      }
      this.#owner = pid;
      await this.#synchronize();
    });
  }

  /** Sets the NICs up in the VM's own network. */
  setUpInPlace(): Promise<void> {
    return this.#inTurn(async () => {
      for (const [number, nic] of this.#nics.entries()) {
        if (nic.place.kind === "vm") await this.#setUp(nic, nic.place.mtu, number, undefined);
      }
    });
  }

  /**
   * Moves every NIC, as the real guest does, even those that were moved before: so a further NIC cannot be added to a
   * container that already has one.
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
          `cannot move NIC ${adapter.ID} to the network of process ${owner}: it is no longer in the VM's own network`,
        );
      }
      await runIp(moveCommands(hostName, owner), undefined, this.#run);
      await this.#setUp(nic, place.mtu, number, owner);
    }
  }

  /** The real guest checks the NIC's configuration only now, and keeps the NIC listed even if it is invalid. */
  async #setUp({ adapter, hostName }: Nic, mtu: number, number: number, owner: NamespaceOwner): Promise<void> {
    const { EncapOverhead = 0, ID, IPConfigs = [], problem } = adapter;
    if (problem !== undefined) throw new GuestFault("E_FAIL", `cannot set up NIC ${ID}: ${problem}`);
    if (mtu - EncapOverhead < lowestMtu) {
      const expected = `expected 0 to ${mtu - lowestMtu}`;
      throw new GuestFault("E_FAIL", `cannot set up NIC ${ID}: invalid EncapOverhead ${EncapOverhead}: ${expected}`);
    }
    if (IPConfigs.length === 0) {
      throw new GuestFault("E_FAIL", `cannot set up NIC ${ID}: IPConfigs is empty, and no DHCP server answers`);
    }
    await runIp(setUpCommands(adapter, { number, hostName, mtu }), owner, this.#run);
  }

  async #appearanceOf(adapter: DescribedAdapter, signal: AbortSignal): Promise<string> {
    const joined = nicInterface(adapter.ID);
    for (let waited = 0; ; waited += nicPollMs) {
      const found = isJoinedNic(joined) ? joined : this.#find(adapter);
      if (found !== undefined) return found;
      if (waited >= nicTimeoutMs) {
        throw new GuestFault("E_FAIL", `NIC ${adapter.ID} did not appear within ${nicTimeoutMs} ms`);
      }
      await delay(nicPollMs, signal);
    }
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

function placeOf(hostName: string): NicPlace {
  if (isJoinedNic(hostName)) return { kind: "joined" };
  return { kind: "vm", mtu: Number(readFileSync(`${interfaces}/${hostName}/mtu`, "utf8")) };
}
