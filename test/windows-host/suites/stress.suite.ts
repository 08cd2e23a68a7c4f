/** Run under Wine: that the Windows driver gives back all that it takes, however often, and holds nobody up. */

import { win32 } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { WindowsComputeSystem } from "../../../packages/hcs-bindings/src/windows/compute-system.ts";
import type { WindowsHost } from "../../../packages/hcs-bindings/src/windows/windows-host.ts";
import { held } from "./held.ts";
import { controls, paths, system } from "./system-under-test.ts";
import { vmDocument } from "./vm-document.ts";

const cycles = 10_000;
const operations = 100_000;
const atATime = 100;
const stressMs = 600_000;
/** Of the resident memory, from the first tenth of the work to its end. */
const mostGrowthBytes = 8 * 2 ** 20;

const document = vmDocument({ owner: "stress", endsWithLastHandle: true });

let host: WindowsHost;
let vm: WindowsComputeSystem;
let idle: object;

beforeAll(async () => {
  host = await system.openHost();
  vm = await host.createComputeSystem("stress", document);
  await receiveGuest();
  // The operation of the start is closed a little later than it is answered.
  await vi.waitFor(() => expect(held().operations).toBeUndefined());
  idle = held();
});

afterEach(async () => {
  await controls.configure({});
  await expect.poll(held).toEqual(idle);
});

afterAll(async () => {
  await host.close();
  expect(held()).toEqual({});
});

/** A guest that nobody answers would end. */
async function receiveGuest(): Promise<void> {
  const { entropy, log, gcs } = linuxVsockPorts;
  const listeners = await Promise.all([entropy, log, gcs].map((port) => vm.listen(port)));
  const [seed, ...others] = listeners.map((listener) => listener.accept());
  await vm.start();
  (await seed)?.end(Buffer.alloc(512));
  for (const stream of await Promise.all(others)) stream.resume();
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function residentBytes(): number {
  collectGarbage();
  return process.memoryUsage.rss();
}

/** Does work so often, many at a time, and tells how the memory grew after its first tenth. */
async function repeat(times: number, work: (index: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const until = async (end: number): Promise<void> => {
    const lane = async (): Promise<void> => {
      while (next < end) await work(next++);
    };
    await Promise.all(Array.from({ length: atATime }, lane));
  };
  await until(times / 10);
  const before = residentBytes();
  await until(times);
  return residentBytes() - before;
}

async function tell(what: string, times: number, work: (index: number) => Promise<unknown>): Promise<void> {
  const began = performance.now();
  const growth = await repeat(times, work);
  const seconds = (performance.now() - began) / 1000;
  const rate = Math.round(times / seconds);
  process.stderr.write(`${times} ${what}: ${rate} a second, memory grew by ${(growth / 2 ** 20).toFixed(1)} MiB\n`);
  expect(growth).toBeLessThan(mostGrowthBytes);
}

describe("nothing is left, and memory is flat", { timeout: stressMs }, () => {
  it("after so many operations", async () => {
    await tell("operations", operations, () => vm.properties([]));
  });

  it("after so many operations that fail", async () => {
    await tell("failures", cycles, () => host.createComputeSystem(vm.id, document).catch(() => {}));
  });

  it("after so many systems", async () => {
    await tell("systems", cycles, async (index) => {
      const made = await host.createComputeSystem(`stress-${index}`, document);
      await made.close();
    });
  });

  it("after so many processes", async () => {
    const { processId } = await vm.createProcess({ CommandLine: "cat" });
    await tell("processes", cycles, async () => {
      const opened = await vm.openProcess(processId);
      await opened.close();
    });
    for (const process of [await vm.openProcess(processId)]) await process.terminate();
  });

  it("after so many network objects", async () => {
    const { networks } = host;
    const { ID: network } = await networks.createNetwork({ Type: "NAT" });
    const { ID: endpoint } = await networks.createEndpoint(network, {});
    const { ID: namespace } = await networks.createNamespace({});
    await tell("networks", cycles, () => networks.queryNetwork(network));
    await tell("endpoints", cycles, () => networks.queryEndpoint(endpoint));
    await tell("namespaces", cycles, () => networks.queryNamespace(namespace));
    await tell("notifications", cycles, async () => (await networks.listen(() => {})).close());
    await networks.deleteNamespace(namespace);
    await networks.deleteEndpoint(endpoint);
    await networks.deleteNetwork(network);
  });

  it("after so many virtual disks", async () => {
    const path = win32.join(paths.files, "disk.vhdx");
    await host.disks.create({ path, size: 4 << 20 });
    await tell("virtual disks", cycles, () => host.disks.sizeOf(path));
  });
});

describe("the event loop", () => {
  const pending = 1000;
  const mostMs = 50;

  it("turns while a thousand operations are pending and a call sleeps", async () => {
    const sleep = { function: "HcsGetServiceProperties", milliseconds: 5000 } as const;
    await controls.configure({ delayMs: 3000, sleep });
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const sleeping = host.service.properties({ PropertyTypes: ["Basic"] });
    await Promise.all(Array.from({ length: pending }, () => vm.properties([])));
    await sleeping;
    delay.disable();
    const [longest, usual] = [delay.max / 1e6, delay.mean / 1e6];
    process.stderr.write(`event loop: ${longest.toFixed(1)} ms at most, ${usual.toFixed(1)} ms on average\n`);
    expect(longest).toBeLessThan(mostMs);
  });
});
