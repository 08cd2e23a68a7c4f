import { readFileSync } from "node:fs";

/** A process's share of the machine's memory, in MiB: pages that several processes map are divided among them. */
export function proportionalSetSize(pid: number): number {
  const kibibytes = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+) kB$/m)?.[1];
  if (kibibytes === undefined) throw new Error(`/proc/${pid}/smaps_rollup has no Pss`);
  return Number(kibibytes) / 1024;
}

/** The memory that a process has resident, in MiB, shared pages counted whole: what operators see of it. */
export function residentSetSize(pid: number): number {
  const kibibytes = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB$/m)?.[1];
  if (kibibytes === undefined) throw new Error(`/proc/${pid}/status has no VmRSS`);
  return Number(kibibytes) / 1024;
}

/**
 * The memory of processes as if nothing else ran, in MiB: what is theirs alone, and each page that a file's mappings
 * share once, whoever else maps it.
 */
export function memoryOfTogether(pids: readonly number[]): number {
  return togetherOf(pids.map((pid) => readFileSync(`/proc/${pid}/smaps`, "utf8"))) / 1024;
}

/** In KiB, from the processes' `smaps` (proc(5)). */
export function togetherOf(maps: readonly string[]): number {
  let own = 0;
  const shared = new Map<string, number>();
  for (const text of maps) {
    for (const [, key = "", counts = ""] of text.matchAll(MAPPING)) {
      const of = (name: string): number => Number(counts.match(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m"))?.[1] ?? 0);
      own += of("Private_Clean") + of("Private_Dirty");
      // By file and place in it. The same part of a file is hardly ever resident in different pages.
      shared.set(key, Math.max(shared.get(key) ?? 0, of("Shared_Clean") + of("Shared_Dirty")));
    }
  }
  return own + [...shared.values()].reduce((sum, value) => sum + value, 0);
}

/** A mapping's permissions, place, device, inode and name, and the lines of its counts. */
const MAPPING = /^[0-9a-f]+-[0-9a-f]+ (\S+ [0-9a-f]+ \S+ \d+[^\n]*)\n((?:[A-Z][A-Za-z_]+:[^\n]*\n?)+)/gm;
