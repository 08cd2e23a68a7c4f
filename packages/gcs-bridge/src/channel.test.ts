import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { FrameChannel, framesPerTurn } from "./channel.ts";
import { encodeFrame } from "./wire.ts";

const frameOf = (body: string): Buffer => encodeFrame({ type: 0x30100101, id: 0n, body: Buffer.from(body) });
const framesPerChunk = 3_000;

/** A peer that sends chunks as fast as it is read. It accepts what is written to it only on `takeWritten`. */
class Flood extends Duplex {
  /** Chunks that were read from it. */
  taken = 0;
  readonly #chunk: Buffer;
  readonly #chunks: number;
  #written: (() => void) | undefined;

  constructor(frame: Buffer, frames: number, chunks: number) {
    const chunk = Buffer.concat(Array<Buffer>(frames).fill(frame));
    super({ readableHighWaterMark: chunk.length, writableHighWaterMark: 1 });
    this.#chunk = chunk;
    this.#chunks = chunks;
  }

  override _read(): void {
    if (this.taken < this.#chunks) {
      this.taken++;
      this.push(this.#chunk);
    }
  }

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    this.#written = done;
  }

  takeWritten(): void {
    this.#written?.();
  }
}

/** Reads everything, and returns the greatest number of frames in one turn. */
async function readAll(flood: Flood, frames: number, options: { readonly sends?: boolean } = {}) {
  let handled = 0;
  const channel = new FrameChannel(flood, {
    onFrame: () => {
      handled++;
      if (options.sends) channel.send({ type: 1, id: 0n, body: Buffer.from("{}") });
    },
    readsOnlyWhenDrained: options.sends ?? false,
    onClosed: () => {},
  });
  let mostInTurn = 0;
  let mostAhead = 0;
  let before = 0;
  do {
    await turn();
    mostInTurn = Math.max(mostInTurn, handled - before);
    mostAhead = Math.max(mostAhead, flood.taken - Math.floor(handled / framesPerChunk));
    flood.takeWritten();
    before = handled;
  } while (handled < frames);
  const result = { handled, mostInTurn, mostAhead };
  channel.end(undefined);
  return result;
}

describe("a flood of messages", () => {
  it("is handled in turns between other work, and is not read ahead", async () => {
    const flood = new Flood(frameOf("{}"), framesPerChunk, 10);
    const { handled, mostInTurn, mostAhead } = await readAll(flood, 10 * framesPerChunk);
    expect(handled).toBe(10 * framesPerChunk);
    // Two turns of the channel may come between two of this test.
    expect(mostInTurn).toBeLessThanOrEqual(2 * framesPerTurn);
    expect(mostAhead).toBeLessThanOrEqual(3);
  });

  it("of chunks smaller than a turn is handled chunk by chunk", async () => {
    const flood = new Flood(frameOf("x".repeat(2_000)), 30, 20);
    expect((await readAll(flood, 600)).mostInTurn).toBeLessThanOrEqual(2 * framesPerTurn);
  });

  it("of large ones is handled one by one", async () => {
    const flood = new Flood(frameOf("x".repeat(300_000)), 8, 2);
    expect((await readAll(flood, 16)).mostInTurn).toBeLessThanOrEqual(2);
  });

  it("is read on only once the peer accepts what it is sent", async () => {
    const flood = new Flood(frameOf("{}"), 200, 4);
    const { handled } = await readAll(flood, 800, { sends: true });
    expect(handled).toBe(800);
  });

  it("ends with the channel", async () => {
    let handled = 0;
    const channel = new FrameChannel(new Flood(frameOf("{}"), framesPerChunk, 1), {
      onFrame: () => void handled++,
      readsOnlyWhenDrained: false,
      onClosed: () => {},
    });
    await turn();
    channel.end(undefined);
    const before = handled;
    for (let count = 0; count < 5; count++) await turn();
    expect(handled).toBe(before);
    expect(before).toBeLessThan(framesPerChunk);
  });
});
