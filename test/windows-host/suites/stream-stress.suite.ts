/** Run under Wine: streams, listeners, pipes, events and jobs come and go, and leave nothing behind. */
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WindowsHvsockets } from "../../../packages/hcs-bindings/src/windows/hvsocket.ts";
import type { FunctionTable } from "../../../packages/hcs-bindings/src/windows/native-types.ts";
import { administratorsOnly } from "../../../packages/hcs-bindings/src/windows/security.ts";
import { winsockFunctions } from "../../../packages/hcs-bindings/src/windows/winsock-functions.ts";
import { controls, system } from "./system-under-test.ts";

const cycles = 10_000;
const atATime = 8;
/** By then all that is made once is there. */
const settling = 1000;
/** For what the collector has not given back; a leak of one page each would be four times as much. */
const mostGrowth = 10 * 1024 * 1024;
const loopback = "e0e16197-dd56-4a10-9195-5ee7a155a838";

const process32 = {
  GetCurrentProcess: { result: "pointer", parameters: [], since: 0, immediate: true },
  GetProcessHandleCount: { result: "int32", parameters: ["pointer", "pointer"], since: 0, immediate: true },
} as const satisfies FunctionTable;
const kernel = system.machine.library("C:\\windows\\system32\\kernel32.dll", process32);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function openHandles(): number {
  const count = Buffer.alloc(4);
  kernel.call("GetProcessHandleCount", kernel.call("GetCurrentProcess"), count);
  return count.readUInt32LE();
}

let sockets: WindowsHvsockets;

beforeAll(async () => {
  const winsock = system.machine.library(system.paths.winsock, winsockFunctions);
  sockets = await WindowsHvsockets.open(system.machine, winsock, system.port);
});

afterAll(async () => {
  await sockets.close();
  expect(controls.counts().sockets).toBe(0);
});

async function repeat(count: number, cycle: (lane: number) => Promise<void>): Promise<void> {
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

async function leavesNothing(cycle: (lane: number) => Promise<void>): Promise<void> {
  await repeat(settling, cycle);
  const [memory, handles] = [await residentBytes(), openHandles()];
  await repeat(cycles, cycle);
  expect(openHandles() - handles).toBeLessThan(atATime);
  expect((await residentBytes()) - memory).toBeLessThan(mostGrowth);
}

async function closed(stream: Duplex): Promise<void> {
  const close = once(stream, "close");
  stream.destroy();
  await close;
}

it("streams", async () => {
  const listener = await sockets.listen(loopback, 6000);
  await leavesNothing(async () => {
    const [left, right] = await Promise.all([listener.accept(), sockets.connect(loopback, 6000)]);
    left.write("x");
    // Not always the two ends of one stream: who dials first is not always accepted first.
    await Promise.all([closed(left), closed(right)]);
  });
  await listener.close();
}, 300_000);

it("listeners", async () => {
  await leavesNothing(async (lane) => (await sockets.listen(loopback, 6001 + lane)).close());
}, 300_000);

it("diallers that are refused", async () => {
  await leavesNothing(async () => {
    await sockets.connect(loopback, 7000).catch(() => {});
  });
}, 300_000);

it("pipes", async () => {
  const path = "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\uvm-shim-stress";
  const server = await system.servePipe({
    path,
    onConnection: (stream) => stream.pipe(stream),
    onError: (error) => {
      throw error;
    },
  });
  await leavesNothing(async () => {
    const client = connect(path);
    client.write("x");
    await once(client, "data");
    await closed(client);
  });
  await server.close();
}, 300_000);

it("events", async () => {
  await leavesNothing(async (lane) => {
    const event = system.events.create(`uvm-shim-stress-${lane}`, administratorsOnly);
    const waited = event.wait();
    event.set();
    await waited;
    await event.close();
  });
}, 300_000);

it("jobs", async () => {
  await leavesNothing(async () => system.createJob().close());
}, 300_000);
