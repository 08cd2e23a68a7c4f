import { Readable, Writable } from "node:stream";
import { expect, it } from "vitest";
import { copyOutput, RelayProgress } from "./relay.ts";

it("output that is written byte by byte takes little memory while the client reads nothing, and arrives completely", async () => {
  const bytes = 5_000;
  const source = Readable.from(
    (function* () {
      for (let index = 0; index < bytes; index++) yield Buffer.from([index % 256]);
    })(),
    { objectMode: false, highWaterMark: 1 },
  );
  const held: (() => void)[] = [];
  const received: number[] = [];
  let isTaking = false;
  const sink = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      received.push(...chunk);
      if (isTaking) setImmediate(done);
      else held.push(done);
    },
  });
  const progress = new RelayProgress();
  const { ended } = copyOutput(source, sink, progress);
  for (let steps = -1; steps !== progress.steps; ) {
    steps = progress.steps;
    for (let turns = 0; turns < 100; turns++) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(progress.pending).toBe(256);
  isTaking = true;
  for (const done of held) done();
  await ended;
  expect(received).toEqual(Array.from({ length: bytes }, (_, index) => index % 256));
  expect(progress).toMatchObject({ pending: 0, given: bytes, taken: bytes });
});
