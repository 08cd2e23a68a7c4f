/** The guest's network: the NICs that the host has plugged in, set up as it tells. All containers share it. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { LinuxNetworkAdapter } from "@uvm-shim/hcs-schema";
import { guestFolders } from "./guest-folders.ts";
import { type Commands, type Interface, interfaceName, setUpCommands, takeDownCommands } from "./network-commands.ts";
import type { RunTool } from "./storage.ts";

/** How long a NIC that the host has added may take to appear. */
const nicTimeoutMs = 5000;
const nicPollMs = 10;
const interfaces = "/sys/class/net";
const lowestMtu = 1280;

interface Nic {
  readonly adapter: LinuxNetworkAdapter;
  readonly interface: Interface;
}

export class GuestNetwork {
  readonly #nics = new Map<string, Nic>();
  #turn: Promise<unknown> = Promise.resolve();

  /** Sets a NIC up as the next free eth<N>. What fails is taken back. */
  add(adapter: LinuxNetworkAdapter, runTool: RunTool, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#nics.has(adapter.ID)) throw new GuestFault("ERROR_ALREADY_EXISTS", `NIC ${adapter.ID} is set up`);
      const hostName = hostNameOf(adapter.ID);
      await waitForInterface(hostName, adapter.ID, signal);
      const mtu = Number(readFileSync(`${interfaces}/${hostName}/mtu`, "utf8"));
      if (mtu - (adapter.EncapOverhead ?? 0) < lowestMtu) {
        throw new GuestFault(
          "E_INVALIDARG",
          `Request.Settings.EncapOverhead is ${adapter.EncapOverhead}, accepted are 0 to ${mtu - lowestMtu}`,
        );
      }
      const nic = { adapter, interface: { number: this.#freeNumber(), hostName, mtu } };
      try {
        await run(setUpCommands(adapter, nic.interface), "stop", runTool, signal);
      } catch (error) {
        await takeDown(nic, runTool);
        throw error;
      }
      this.#nics.set(adapter.ID, nic);
      this.#writeResolvConf();
    });
  }

  /** An unknown NIC counts as removed, and so does one that the host has unplugged already. */
  remove(id: string, runTool: RunTool): Promise<void> {
    return this.#inTurn(async () => {
      const nic = this.#nics.get(id);
      if (nic === undefined) return;
      await takeDown(nic, runTool);
      this.#nics.delete(id);
      this.#writeResolvConf();
    });
  }

  /** The addresses of eth0. */
  get addresses(): readonly string[] {
    return this.#ordered()[0]?.adapter.IPConfigs?.map(({ IPAddress }) => IPAddress) ?? [];
  }

  #ordered(): readonly Nic[] {
    return [...this.#nics.values()].sort((left, right) => left.interface.number - right.interface.number);
  }

  #freeNumber(): number {
    const taken = new Set([...this.#nics.values()].map((nic) => nic.interface.number));
    let number = 0;
    while (taken.has(number)) number += 1;
    return number;
  }

  #writeResolvConf(): void {
    // Containers have this very file mounted: it is overwritten, not replaced.
    writeFileSync(guestFolders.resolvConf, resolvConf(this.#ordered().map(({ adapter }) => adapter)));
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

/** What the NICs say about name resolution, each thing once, in their order. */
export function resolvConf(adapters: readonly LinuxNetworkAdapter[]): string {
  const unique = (lists: readonly string[]): readonly string[] => [
    ...new Set(lists.flatMap((list) => list.toLowerCase().split(",")).filter((word) => word !== "")),
  ];
  const searches = unique(adapters.map(({ DNSSuffix = "" }) => DNSSuffix));
  const servers = unique(adapters.map(({ DNSServerList = "" }) => DNSServerList));
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}\n`]),
    ...servers.map((server) => `nameserver ${server}\n`),
  ].join("");
}

/** The name that the emulated host gives the interface of a NIC. */
function hostNameOf(id: string): string {
  return `nic${id.replaceAll("-", "").slice(0, 12)}`;
}

async function waitForInterface(name: string, id: string, signal: AbortSignal): Promise<void> {
  for (let waited = 0; !existsSync(`${interfaces}/${name}`); waited += nicPollMs) {
    if (waited >= nicTimeoutMs) {
      throw new GuestFault("ERROR_FILE_NOT_FOUND", `NIC ${id} has not appeared within ${nicTimeoutMs} ms`);
    }
    await delay(nicPollMs, undefined, { signal });
  }
}

/** Every step is tried. Throws when the interface keeps its name, by which alone the host's removal may fail to be seen. */
async function takeDown({ adapter, interface: known }: Nic, runTool: RunTool): Promise<void> {
  const never = new AbortController().signal;
  const failure = await run(takeDownCommands(adapter, known), "go on", runTool, never).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure !== undefined && existsSync(`${interfaces}/${interfaceName(known.number)}`)) throw failure;
}

async function run(
  { common, ipv6Rules }: Commands,
  onFailure: "stop" | "go on",
  runTool: RunTool,
  signal: AbortSignal,
): Promise<void> {
  const failures: string[] = [];
  const force = onFailure === "go on" ? ["-force"] : [];
  for (const [family, commands] of [
    [[], common],
    [["-6"], ipv6Rules],
  ] as const) {
    if (commands.length === 0) continue;
    const file = `${guestFolders.scratch}/ip`;
    writeFileSync(file, `${commands.join("\n")}\n`);
    try {
      const { exitCode, stderr } = await runTool("ip", [...family, ...force, "-batch", file], signal);
      if (exitCode === 0) continue;
      failures.push(explain(stderr, commands));
      if (onFailure === "stop") break;
    } finally {
      rmSync(file, { force: true });
    }
  }
  if (failures.length > 0) throw new GuestFault("E_FAIL", `ip: ${failures.join("; ")}`);
}

/** ip(8) tells the number of the line that failed. */
function explain(stderr: string, commands: readonly string[]): string {
  const line = /Command failed [^:]*:(\d+)/.exec(stderr)?.[1];
  const command = line === undefined ? commands.join("; ") : commands[Number(line) - 1];
  return `${stderr.split("\n")[0]} (${command})`;
}
