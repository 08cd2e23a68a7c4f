import { readFileSync } from "node:fs";

/** A process's share of the machine's memory, in MiB: pages that several processes map are divided among them. */
export function proportionalSetSize(pid: number): number {
  const kibibytes = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+) kB$/m)?.[1];
  if (kibibytes === undefined) throw new Error(`/proc/${pid}/smaps_rollup tells no Pss`);
  return Number(kibibytes) / 1024;
}
