import type { Readable } from "node:stream";
import type { WindowsProcessDetails } from "@uvm-shim/hcs-schema";
import type { WindowsContainer } from "./container.ts";
import { readFrames } from "./frames.ts";

/** The time of Windows begins with the year 1601, and counts 100 ns. */
const epochMs = 11_644_473_600_000n;
const unitsPerMs = 10_000n;
const nameOffset = 44;

/** The processes of a container, as Windows tells them there. */
export async function listProcesses(container: WindowsContainer): Promise<readonly WindowsProcessDetails[]> {
  const starter = await container.startStarter("SYSTEM", ["list"]);
  const processes: WindowsProcessDetails[] = [];
  for await (const { payload } of readFrames(starter.stdout as Readable)) {
    const number = (offset: number): bigint => payload.readBigUInt64LE(offset);
    processes.push({
      ProcessId: payload.readUInt32LE(0),
      ImageName: payload.toString("utf8", nameOffset),
      CreateTimestamp: new Date(Number(number(4) / unitsPerMs - epochMs)).toISOString(),
      UserTime100ns: Number(number(12)),
      KernelTime100ns: Number(number(20)),
      MemoryCommitBytes: Number(number(28)),
      MemoryWorkingSetPrivateBytes: Number(number(36)),
      MemoryWorkingSetSharedBytes: 0,
    });
  }
  return processes;
}
