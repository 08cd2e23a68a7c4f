/** What a sandboxer without pods holds. */
import { readdirSync } from "node:fs";
import { readProcesses } from "../leaks/holdings.ts";
import { proportionalSetSize, residentSetSize } from "../support/memory.ts";
import { SERVERS } from "../support/servers.ts";
import type { Figure } from "./figures.ts";
import type { ReportingShim } from "./shim-heap.ts";

/** How much memory may grow from the middle to the end; README.md says why. */
const GROWTH = {
  objects: { since: "middle", mebibytes: 0.5 },
  code: { since: "middle", mebibytes: 1 },
  buffers: { since: "middle", mebibytes: 1 },
  uncollected: { since: "middle", mebibytes: 64 },
  collected: { since: "middle", mebibytes: 6 },
  host: { since: "middle", mebibytes: 32 },
} as const satisfies { readonly [memory: string]: Figure["mayGrow"] };
const BYTES = 1024 * 1024;

/** Processes and folders of a sandboxer. */
export interface SandboxerPlaces {
  readonly pid: number;
  readonly host: number;
  /** Folders in which it keeps something of each pod. */
  readonly folders: { readonly [name: string]: string };
}

/** The pid of the emulated host. */
export function findHost(): number {
  const hosts = readProcesses().filter(({ command }) => SERVERS["emulated host"].test(command));
  const [host] = hosts;
  if (host === undefined || hosts.length > 1) throw new Error(`found ${hosts.length} emulated hosts: expected one`);
  return host.pid;
}

export function countHeld({ pid, host, folders }: SandboxerPlaces): readonly Figure[] {
  const processes = readProcesses();
  return [
    { name: "sandboxer: descriptors", value: descriptors(pid) },
    { name: "emulated host: descriptors", value: descriptors(host) },
    { name: "VMs", value: processes.filter(({ command }) => SERVERS["guest agent"].test(command)).length },
    { name: "processes", value: processes.length },
    ...Object.entries(folders).map(([name, folder]) => ({ name: `files: ${name}`, value: filesIn(folder) })),
  ];
}

export async function measureHeld(
  { pid, host }: SandboxerPlaces,
  reporting: Pick<ReportingShim, "read">,
): Promise<readonly Figure[]> {
  const uncollected = residentSetSize(pid);
  const heap = await reporting.read();
  return [
    { name: "sandboxer: handles", value: heap.handles.length },
    { name: "sandboxer: heap, objects", value: heap.objects / BYTES, mayGrow: GROWTH.objects },
    { name: "sandboxer: heap, code", value: heap.code / BYTES, mayGrow: GROWTH.code },
    { name: "sandboxer: buffers", value: heap.buffers / BYTES, mayGrow: GROWTH.buffers },
    { name: "sandboxer: resident, uncollected", value: uncollected, mayGrow: GROWTH.uncollected },
    { name: "sandboxer: memory (PSS)", value: proportionalSetSize(pid), mayGrow: GROWTH.collected },
    { name: "emulated host: memory (PSS)", value: proportionalSetSize(host), mayGrow: GROWTH.host },
  ];
}

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function filesIn(folder: string): number {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory()).length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
