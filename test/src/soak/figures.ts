/** What a long-lived pod holds, and whether that has grown. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readProcesses } from "../leaks/holdings.ts";
import { parseMountinfo } from "../leaks/mountinfo.ts";

export interface Figure {
  readonly name: string;
  readonly unit: "" | "MiB";
  readonly value: number;
  /** How much more it may be at the end: what is a number of things may not grow at all. */
  readonly mayGrowBy: number;
}

/** The processes that serve one pod: told from others by their command lines. */
const SERVING = {
  shim: /\/node (--\S+ )*\S*shim-lcow\.cjs .*-socket/,
  "guest agent": /\/node (--\S+ )*\S*initrd\.img$/,
  "emulated host": /\/node \S*hcs-emulator\.cjs/,
} as const;
type Server = keyof typeof SERVING;

/** Where the emulated host attaches Plan9 shares in the guest. */
const SHARES = "/run/host/plan9/";
/** Memory that a collector has not come to, and what the kernel counts later; in MiB. */
const MEMORY_SLACK = 16;
const HEAP_SLACK = 4;
/** Descriptors that come and go with connections and timers. */
const DESCRIPTOR_SLACK = 2;

export function findServers(): { readonly [server in Server]: number } {
  const processes = readProcesses();
  const pidOf = (server: Server): number => {
    // What waits for a server has it in its command line too; the server itself is the youngest.
    const found = processes.filter(({ command }) => SERVING[server].test(command)).map(({ pid }) => pid);
    const pid = found.sort((left, right) => right - left)[0];
    if (pid === undefined) throw new Error(`no process is the ${server}`);
    return pid;
  };
  return { shim: pidOf("shim"), "guest agent": pidOf("guest agent"), "emulated host": pidOf("emulated host") };
}

/** @param heap of the shim, as it tells it. */
export function takeFigures(servers: ReturnType<typeof findServers>, heap: ShimHeap): readonly Figure[] {
  const figures: Figure[] = [
    { name: "shim: heap", unit: "MiB", value: mebibytes(heap.heapUsed), mayGrowBy: HEAP_SLACK },
    { name: "shim: buffers", unit: "MiB", value: mebibytes(heap.external), mayGrowBy: HEAP_SLACK },
  ];
  for (const [server, pid] of Object.entries(servers)) {
    figures.push(
      { name: `${server}: memory (PSS)`, unit: "MiB", value: proportionalSetSize(pid), mayGrowBy: MEMORY_SLACK },
      { name: `${server}: descriptors`, unit: "", value: descriptorsOf(pid), mayGrowBy: DESCRIPTOR_SLACK },
    );
  }
  const mounts = parseMountinfo(readFileSync(`/proc/${servers["guest agent"]}/mountinfo`, "utf8"));
  const shares = mounts.filter(({ point }) => point.startsWith(SHARES)).length;
  return [
    ...figures,
    { name: "VM: attached disks", unit: "", value: attachedDisks(), mayGrowBy: 0 },
    { name: "VM: attached shares", unit: "", value: shares, mayGrowBy: 0 },
    { name: "guest: mounts", unit: "", value: mounts.length, mayGrowBy: 0 },
    { name: "guest: processes", unit: "", value: processesBeside(servers["guest agent"]), mayGrowBy: 0 },
  ];
}

/** In bytes, after a collection. */
export interface ShimHeap {
  readonly heapUsed: number;
  readonly external: number;
}

/** Reads the line that the shim logs on SIGUSR2; undefined for any other line. */
export function parseHeap(line: string): ShimHeap | undefined {
  if (!/ msg=memory( |$)/.test(line)) return undefined;
  const field = (name: string): number => Number(line.match(new RegExp(` ${name}=(\\d+)`))?.[1] ?? Number.NaN);
  return { heapUsed: field("heapUsed"), external: field("external") };
}

/** What has grown by more than it may. */
export function growthOf(before: readonly Figure[], after: readonly Figure[]): readonly string[] {
  return after.flatMap((figure) => {
    const start = before.find(({ name }) => name === figure.name)?.value ?? 0;
    const growth = figure.value - start;
    if (growth <= figure.mayGrowBy) return [];
    const unit = figure.unit === "" ? "" : ` ${figure.unit}`;
    return [`${figure.name} grew by ${round(growth)}${unit}, at most ${figure.mayGrowBy}${unit} may be`];
  });
}

export function showFigures(before: readonly Figure[], after: readonly Figure[]): string {
  const rows = after.map(({ name, unit, value }) => {
    const start = before.find((figure) => figure.name === name)?.value ?? 0;
    const columns = [start, value].map((number) => `${round(number)}${unit === "" ? "" : ` ${unit}`}`.padStart(14));
    return `${name.padEnd(32)}${columns.join("")}`;
  });
  return [`${"".padEnd(32)}${"start".padStart(14)}${"end".padStart(14)}`, ...rows].join("\n");
}

function round(number: number): string {
  return Number.isInteger(number) ? `${number}` : number.toFixed(1);
}

function mebibytes(bytes: number): number {
  return bytes / (1024 * 1024);
}

function proportionalSetSize(pid: number): number {
  const kibibytes = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+) kB$/m)?.[1];
  return Number(kibibytes) / 1024;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Folder of the disks that the soak makes: loop devices of others have other backing files. */
export const DISKS_FOLDER = "soak-disks";

function attachedDisks(): number {
  return readdirSync("/sys/block").filter((name) => {
    try {
      const file = readFileSync(join("/sys/block", name, "loop/backing_file"), "utf8");
      return file.includes(`/${DISKS_FOLDER}/`);
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
