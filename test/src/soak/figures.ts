/** What a long-lived pod holds, and whether that has grown. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { guestFolders } from "@uvm-shim/host-protocol/guest";
import { readProcesses } from "../leaks/holdings.ts";
import { parseMountinfo } from "../leaks/mountinfo.ts";
import { proportionalSetSize, residentSetSize } from "../support/memory.ts";
import type { findServers } from "../support/servers.ts";
import { poll } from "../support/wait.ts";
import type { ReportingShim, ShimHeap } from "./shim-heap.ts";

export interface Figure {
  readonly name: string;
  readonly value: number;
  /** Only memory may grow; a count stays what it is in a fresh pod. */
  readonly mayGrow?: { readonly since: "start" | "middle"; readonly mebibytes: number };
}

/** When figures are taken, and how much of the work has been done then. The first tenth of it fills caches. */
export const MOMENTS = { fresh: 0, start: 0.1, middle: 0.5, end: 1 } as const;
export type Soaked = { readonly [moment in keyof typeof MOMENTS]: readonly Figure[] };

/** How much memory may grow until the end; README.md says why. */
const GROWTH = {
  objects: { since: "start", mebibytes: 0.25 },
  code: { since: "start", mebibytes: 1 },
  buffers: { since: "middle", mebibytes: 1 },
  shim: { since: "middle", mebibytes: 4 },
  uncollected: { since: "middle", mebibytes: 8 },
  others: { since: "middle", mebibytes: 16 },
} as const satisfies { readonly [memory: string]: Figure["mayGrow"] };
const BYTES = 1024 * 1024;
const REST_MS = 300;
const SETTLE_MS = 10_000;

/** @param disks the folder of the soak's disks: loop devices of others have other backing files. */
export function countThings(servers: ReturnType<typeof findServers>, disks: string): readonly Figure[] {
  const agent = servers["guest agent"];
  const mounts = parseMountinfo(readFileSync(`/proc/${agent}/mountinfo`, "utf8"));
  return [
    ...Object.entries(servers).map(([server, pid]) => ({
      ...{ name: `${server}: descriptors`, value: readdirSync(`/proc/${pid}/fd`).length },
    })),
    { name: "VM: attached disks", value: attachedDisks(disks) },
    {
      name: "VM: attached shares",
      value: mounts.filter(({ point }) => point.startsWith(`${guestFolders.plan9Shares}/`)).length,
    },
    { name: "guest: mounts", value: mounts.length },
    { name: "guest: processes", value: processesBeside(agent) },
  ];
}

/** In MiB, the shim's after a collection, and before it what a machine pays for a pod that nobody collects. */
export async function measureMemory(
  servers: ReturnType<typeof findServers>,
  shim: Pick<ReportingShim, "read">,
  isLast: boolean,
): Promise<readonly Figure[]> {
  const uncollected = residentSetSize(servers.shim);
  const first = await shim.read();
  const processes = Object.entries(servers).map(([server, pid]) => ({
    ...{ name: `${server}: memory (PSS)`, value: proportionalSetSize(pid) },
    mayGrow: server === "shim" ? GROWTH.shim : GROWTH.others,
  }));
  // Each further collection makes the pages of the next moment fewer.
  const heap = isLast ? await heapAtRest(shim, first) : first;
  return [
    { name: "shim: heap, objects", value: heap.objects / BYTES, mayGrow: GROWTH.objects },
    { name: "shim: heap, code", value: heap.code / BYTES, mayGrow: GROWTH.code },
    { name: "shim: resident, uncollected", value: uncollected, mayGrow: GROWTH.uncollected },
    { name: "shim: buffers", value: heap.buffers / BYTES, mayGrow: GROWTH.buffers },
    ...processes,
  ];
}

/**
 * Until the objects become no fewer: a first collection, right after the work, leaves some half a MiB that one a moment
 * later takes. What is held for longer shows in each reading.
 */
async function heapAtRest(shim: Pick<ReportingShim, "read">, first: ShimHeap): Promise<ShimHeap> {
  let last = first;
  const ask = async (): Promise<ShimHeap | undefined> => {
    const before = last;
    last = await shim.read();
    return last.objects >= before.objects ? before : undefined;
  };
  // The first question is asked at once, and would see what the first reading saw.
  await setTimeout(REST_MS);
  return await poll("the heap to come to rest", ask, { timeoutMs: SETTLE_MS, intervalMs: REST_MS });
}

/** A line for each figure that has grown beyond its limit. */
export function growthOf(soaked: Soaked): readonly string[] {
  return soaked.fresh.flatMap(({ name, mayGrow }) => {
    const values = valuesOf(soaked, name);
    const { fresh, start, middle, end } = values;
    if (mayGrow === undefined) {
      if ([start, middle, end].every((value) => value === fresh)) return [];
      return [`${name}: expected ${fresh} as in a fresh pod, got ${start}, ${middle} and ${end}`];
    }
    const { since, mebibytes } = mayGrow;
    const growth = end - values[since];
    if (growth <= mebibytes) return [];
    return [`${name}: grew by ${growth.toFixed(2)} MiB since the ${since}, expected at most ${mebibytes} MiB`];
  });
}

export function showFigures(soaked: Soaked): string {
  const row = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(30)}${cells.map((cell) => cell.padStart(11)).join("")}`;
  const rows = soaked.fresh.map(({ name, mayGrow }) => {
    const show = (value: number): string => (mayGrow === undefined ? `${value}` : `${value.toFixed(2)} MiB`);
    return row(name, Object.values(valuesOf(soaked, name)).map(show));
  });
  return [row("", Object.keys(MOMENTS)), ...rows].join("\n");
}

function valuesOf(soaked: Soaked, name: string): { readonly [moment in keyof Soaked]: number } {
  const at = (figures: readonly Figure[]): number =>
    figures.find((figure) => figure.name === name)?.value ?? Number.NaN;
  return { fresh: at(soaked.fresh), start: at(soaked.start), middle: at(soaked.middle), end: at(soaked.end) };
}

function attachedDisks(folder: string): number {
  return readdirSync("/sys/block").filter((name) => {
    try {
      return readFileSync(join("/sys/block", name, "loop/backing_file"), "utf8").startsWith(`${folder}/`);
    } catch {
      return false;
    }
  }).length;
}

/** The processes of the guest, its agent among them. */
function processesBeside(agent: number): number {
  const processes = readProcesses();
  const own = processes.find(({ pid }) => pid === agent)?.namespaces.find((name) => name.startsWith("mnt:"));
  return processes.filter(({ namespaces }) => own !== undefined && namespaces.includes(own)).length;
}
