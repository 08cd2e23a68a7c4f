import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect } from "vitest";
import type { FunctionTable } from "../../../packages/hcs-bindings/src/windows/native/native-types.ts";
import { system } from "./system-under-test.ts";
import { thoroughVariable } from "./test-host-paths.ts";

export const atATime = 8;
/** By then all that is made once is there. */
const settling = 1000;
/** How much more is done where somebody asks for it, by the variable that run-under-wine.ts passes on. */
export const thoroughness = process.env[thoroughVariable] === undefined ? 1 : 2.5;
const usualTimes = 4000;
/** For what the collector has not given back; a leak of one page each would be twice as much. */
const mostGrowth = 8 * 1024 * 1024;
/** What leaks does so each time; what the collector has put off until then does not. */
const rounds = 3;

const process32 = {
  GetCurrentProcess: { result: "pointer", parameters: [], since: 0, immediate: true },
  GetProcessHandleCount: { result: "int32", parameters: ["pointer", "pointer"], since: 0, immediate: true },
} as const satisfies FunctionTable;
const kernel = system.machine.library("C:\\windows\\system32\\kernel32.dll", process32);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Expects no more handles and memory in this process after many repetitions, and says how fast they were. */
export async function leavesNothing(
  what: string,
  cycle: (lane: number) => Promise<unknown>,
  usual = usualTimes,
): Promise<void> {
  const times = usual * thoroughness;
  await repeat(settling, cycle);
  const handles = openHandles();
  const growth: number[] = [];
  const began = performance.now();
  while (growth.length < rounds && !growth.some((bytes) => bytes < mostGrowth)) {
    const memory = await residentBytes();
    await repeat(times, cycle);
    growth.push((await residentBytes()) - memory);
  }
  const rate = (growth.length * times) / ((performance.now() - began) / 1000);
  const mebibytes = growth.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(", ");
  const more = openHandles() - handles;
  process.stderr.write(`${times} ${what}: ${rate.toFixed(0)} a second, ${mebibytes} MiB and ${more} handles more\n`);
  expect(more).toBeLessThan(atATime);
  expect(Math.min(...growth)).toBeLessThan(mostGrowth);
}

async function repeat(count: number, cycle: (lane: number) => Promise<unknown>): Promise<void> {
  const lane = async (_: unknown, number: number): Promise<void> => {
    for (let done = 0; done < count / atATime; done++) await cycle(number);
  };
  await Promise.all(Array.from({ length: atATime }, lane));
}

async function residentBytes(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().rss;
}

function openHandles(): number {
  const count = Buffer.alloc(4);
  kernel.call("GetProcessHandleCount", kernel.call("GetCurrentProcess"), count);
  return count.readUInt32LE();
}
