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
