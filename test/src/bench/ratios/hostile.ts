/** Callers that misbehave, in a thread of their own: see flood.ts. */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { workerData } from "node:worker_threads";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { Task } from "../../shim-client/shim.ts";

interface Target {
  readonly socket: string;
  readonly id: string;
}

/** Whose clients misbehave. */
export interface HostileTargets {
  /** Gets many connections. */
  readonly crowded: Target;
  /** Gets what is not ttrpc. */
  readonly insulted: Target;
}

const CONNECTIONS = 500;
const INSULT_EVERY_MS = 5;

function frame(length: number, streamId: number, type: number, flags: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(10);
  header.writeUInt32BE(length, 0);
  header.writeUInt32BE(streamId, 4);
  header.writeUInt8(type, 8);
  header.writeUInt8(flags, 9);
  return Buffer.concat([header, payload]);
}

/** Text of another protocol, a length beyond the bound, a payload that is no message, an even stream, half a frame. */
const INSULTS: readonly Buffer[] = [
  Buffer.from("GET / HTTP/1.1\r\n\r\n".repeat(100)),
  frame(0xff_ff_ff_ff, 1, 1, 0, Buffer.alloc(4096, 0xff)),
  frame(64, 1, 1, 0, Buffer.alloc(64, 0xff)),
  frame(0, 2, 3, 0xff, Buffer.alloc(0)),
  frame(1024, 1, 1, 0, Buffer.alloc(16)),
];

function dial(path: string): Socket {
  const socket = connect(path);
  // It is the shim's right to close it.
  socket.on("error", () => undefined);
  return socket;
}

function crowd({ socket, id }: Target): void {
  for (let count = 0; count < CONNECTIONS; count += 1) {
    const client = new TtrpcClient(dial(socket));
    client.call(Task, "State", { id }).catch(() => undefined);
  }
}

async function insult({ socket }: Target): Promise<never> {
  for (let count = 0; ; count += 1) {
    dial(socket).end(INSULTS[count % INSULTS.length] as Buffer);
    await sleep(INSULT_EVERY_MS);
  }
}

const { crowded, insulted } = workerData as HostileTargets;
crowd(crowded);
await insult(insulted);
