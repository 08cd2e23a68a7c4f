/**
 * Run under Wine: what hvsocket streams carry, beside sockets of node:net in the same process. Prints StreamResults as
 * JSON.
 */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeSync } from "node:fs";
import { stat } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { WindowsHvsockets } from "../../../packages/hcs-bindings/src/windows/io/hvsocket.ts";
import { winsockFunctions } from "../../../packages/hcs-bindings/src/windows/native/winsock-functions.ts";
import { interleave } from "../../src/bench/statistics.ts";
import { paths, system } from "../suites/system-under-test.ts";
import type { StreamResults } from "./stream-results.ts";

const loopback = "e0e16197-dd56-4a10-9195-5ee7a155a838";
const port = 5000;
const mebibyte = 1024 * 1024;
const checkedBytes = 1024 * mebibyte;
const timedBytes = 256 * mebibyte;
const pairsOfRuns = 7;
const concurrent = 200;
const fileCalls = 500;

type Pair = readonly [left: Duplex, right: Duplex];

const winsock = system.machine.library(system.paths.winsock, winsockFunctions);
const sockets = await WindowsHvsockets.open(system.machine, winsock, system.port);
const listener = await sockets.listen(loopback, port);

async function hvsocketPair(): Promise<Pair> {
  return await Promise.all([listener.accept(), sockets.connect(loopback, port)]);
}

async function netPair(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const right = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [left] = (await once(server, "connection")) as [Duplex];
  server.close();
  return [left, right];
}

/** The digest of what arrives is that of what was written. */
async function checkBytes([from, to]: Pair): Promise<void> {
  const blocks = Array.from({ length: 8 }, () => randomBytes(mebibyte));
  const [written, read] = [createHash("sha256"), createHash("sha256")];
  let length = 0;
  to.on("data", (chunk: Buffer) => {
    read.update(chunk);
    length += chunk.length;
  });
  const ended = once(to, "end");
  for (let sent = 0; sent < checkedBytes; sent += mebibyte) {
    const block = blocks[Math.floor(Math.random() * blocks.length)] ?? Buffer.alloc(mebibyte);
    written.update(block);
    if (!from.write(block)) await once(from, "drain");
  }
  from.end();
  await ended;
  const [expected, found] = [written.digest("hex"), read.digest("hex")];
  if (length !== checkedBytes || expected !== found) {
    throw new Error(`${length} bytes of digest ${found} arrived of ${checkedBytes} of ${expected}`);
  }
}

/** MiB a second. */
async function throughput(make: () => Promise<Pair>): Promise<number> {
  const [from, to] = await make();
  const chunk = Buffer.alloc(64 * 1024);
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  let left = timedBytes;
  to.on("data", (data: Buffer) => {
    left -= data.length;
    if (left === 0) resolve();
  });
  const start = performance.now();
  for (let sent = 0; sent < timedBytes; sent += chunk.length) {
    if (!from.write(chunk)) await once(from, "drain");
  }
  await arrived;
  const seconds = (performance.now() - start) / 1000;
  from.destroy();
  to.destroy();
  return timedBytes / mebibyte / seconds;
}

/** Milliseconds of a call of the file system, on average. */
async function fileCallMs(): Promise<number> {
  const start = performance.now();
  for (let call = 0; call < fileCalls; call++) await stat(paths.files);
  return (performance.now() - start) / fileCalls;
}

const [left, right] = await hvsocketPair();
await checkBytes([left, right]);
await checkBytes([right, left]);

const { ours, peers } = await interleave(
  pairsOfRuns,
  () => throughput(hvsocketPair),
  () => throughput(netPair),
);

const aloneMs = await fileCallMs();
const idle: Pair[] = [];
for (let count = 0; count < concurrent; count++) idle.push(await hvsocketPair());
const delays = monitorEventLoopDelay({ resolution: 1 });
delays.enable();
const besideStreamsMs = await fileCallMs();
delays.disable();

const results: StreamResults = {
  checkedBytesEachWay: checkedBytes,
  mebibytesPerSecond: { ours, peers },
  concurrent,
  fileCallMs: { alone: aloneMs, besideStreams: besideStreamsMs },
  longestDelayMs: delays.max / 1e6,
};
writeSync(1, JSON.stringify(results));
process.exit(0);
