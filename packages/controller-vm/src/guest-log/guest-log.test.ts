import { PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { bytesPerTurn, GuestLog } from "./guest-log.ts";

it("a flood of lines is read in batches, so that other work proceeds, and none is lost", async () => {
  const lines = 20_000;
  let read = 0;
  const log = new GuestLog(() => void read++);
  const streams = [new PassThrough(), new PassThrough()];
  for (const stream of streams) {
    log.serve(stream);
    stream.end("x\n".repeat(lines));
  }
  let most = 0;
  let before = 0;
  do {
    await turn();
    most = Math.max(most, read - before);
    before = read;
  } while (read < 2 * lines);
  expect(most).toBeLessThanOrEqual(streams.length * bytesPerTurn);
  expect(read).toBe(2 * lines);
});

it("the last output of a guest whose connection breaks is read, with its unterminated line", async () => {
  const read: string[] = [];
  const log = new GuestLog(({ message }) => void read.push(message));
  const stream = new PassThrough();
  log.serve(stream);
  const first = "y".repeat(3 * bytesPerTurn);
  stream.write(`${first}\nno end`);
  await turn();
  stream.destroy();
  await expect.poll(() => read).toEqual([first, "no end"]);
});

it("output that the guest writes faster than it is read stays in the guest", async () => {
  const log = new GuestLog(() => {});
  const stream = new PassThrough();
  log.serve(stream);
  const taken = Array.from({ length: 64 }, () => stream.write("x\n".repeat(1024)));
  expect(taken).toContain(false);
  await new Promise((resolve) => stream.once("drain", resolve));
  stream.end();
});
