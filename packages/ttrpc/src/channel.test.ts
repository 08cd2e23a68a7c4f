import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Channel } from "./channel.ts";
import { headerLength } from "./frame.ts";

/** A channel, and how many bytes each system call of its stream would have written. */
function open() {
  const written: number[] = [];
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk.length);
      done();
    },
    writev(chunks, done) {
      written.push(chunks.reduce((sum, { chunk }) => sum + (chunk as Buffer).length, 0));
      done();
    },
  });
  const channel = new Channel(stream, { maxMessageSize: 10_000, onFrame: () => undefined, onClosed: () => {} });
  return { channel, written };
}

describe("frames of one turn", () => {
  it("go out together, small and large", async () => {
    const { channel, written } = open();
    for (const [index, length] of [10, 5_000, 0].entries()) channel.send(2 * index + 1, 2, 0, Buffer.alloc(length));
    expect(written).toEqual([]);
    await turn();
    expect(written).toEqual([3 * headerLength + 5_010]);
    channel.send(7, 2, 0, Buffer.alloc(1));
    await turn();
    expect(written).toHaveLength(2);
  });

  it("include what promises that are settled by then send", async () => {
    const { channel, written } = open();
    channel.send(1, 2, 0, Buffer.alloc(1));
    await Promise.resolve();
    channel.send(3, 2, 0, Buffer.alloc(1));
    await turn();
    expect(written).toEqual([2 * headerLength + 2]);
  });

  it.each(["end", "destroy"] as const)("are written before %s of the channel in the same turn", async (how) => {
    const { channel, written } = open();
    channel.send(1, 2, 0, Buffer.alloc(1));
    channel[how]();
    await channel.closed;
    expect(written).toEqual([headerLength + 1]);
  });
});
