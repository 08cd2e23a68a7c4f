import { PassThrough, Readable, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import type { MoveWatcher, OutputMove } from "./output-move.ts";
import { copyOutput, RelayProgress } from "./relay.ts";
import { ManualClock } from "./testing/clock.ts";

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

const fullRead = Buffer.alloc(64 * 1024);
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** An output of which much has been copied already. */
class MuchOutput {
  readonly source = new PassThrough({ highWaterMark: 1024 * 1024 });
  readonly written: number[] = [];
  readonly progress = new RelayProgress();
  readonly calls: string[] = [];
  watcher: MoveWatcher | undefined;
  /** Called for each write, whose end it holds back. */
  #held: (() => void)[] = [];
  isTaking = true;
  readonly sink = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, done) => {
      this.written.push(chunk.length);
      if (this.isTaking) setImmediate(done);
      else this.#held.push(done);
    },
  });
  readonly move: OutputMove = {
    hold: () => this.calls.push("hold"),
    begin: (watcher) => {
      this.calls.push(`begin after ${this.written.length} writes`);
      this.watcher = watcher;
    },
    stop: () => this.calls.push("stop"),
  };

  async read(times: number): Promise<void> {
    for (let read = 0; read < times; read++) {
      this.source.write(fullRead);
      await turn();
      await turn();
    }
  }

  release(): void {
    this.isTaking = true;
    for (const done of this.#held.splice(0)) done();
  }
}

describe("much output", () => {
  it("is moved without being read, once all that was read has been written", async () => {
    const output = new MuchOutput();
    const { source, sink, progress, calls } = output;
    const relay = copyOutput(source, sink, progress, { move: async () => output.move });
    await output.read(64);
    output.isTaking = false;
    await output.read(1);
    expect(calls).toEqual(["hold"]);
    output.release();
    await turn();
    await turn();
    expect(calls).toEqual(["hold", "begin after 65 writes"]);
    const copied = 65 * fullRead.length;
    output.watcher?.moved(1000);
    expect(progress).toMatchObject({ pending: 0, given: copied + 1000, taken: copied + 1000 });
    output.watcher?.waits(300);
    expect(progress).toMatchObject({ pending: 1, given: copied + 1300, taken: copied + 1000 });
    output.watcher?.waits(400);
    output.watcher?.moved(500);
    expect(progress).toMatchObject({ pending: 0, given: copied + 1500, taken: copied + 1500 });
    output.watcher?.stopped();
    source.end("last words");
    await relay.ended;
    expect(progress).toMatchObject({ pending: 0, given: copied + 1510, taken: copied + 1510 });
    expect(output.written.at(-1)).toBe(10);
  });

  it("is copied as before where it cannot be moved", async () => {
    for (const move of [
      async () => undefined,
      async () => {
        throw new Error("no koffi here");
      },
    ]) {
      const output = new MuchOutput();
      const relay = copyOutput(output.source, output.sink, output.progress, { move });
      await output.read(70);
      output.source.end();
      await relay.ended;
      expect(output.written).toHaveLength(70);
    }
  });

  it("is not what comes in small pieces", async () => {
    const output = new MuchOutput();
    let wasAsked = false;
    const move = async () => {
      wasAsked = true;
      return output.move;
    };
    const relay = copyOutput(output.source, output.sink, output.progress, { move });
    for (let index = 0; index < 200; index++) {
      output.source.write("a line\n");
      await turn();
    }
    output.source.end();
    await relay.ended;
    expect(wasAsked).toBe(false);
  });

  it("is read and dropped again when the client counts as gone", async () => {
    const output = new MuchOutput();
    const clock = new ManualClock();
    let lost = 0;
    const patience = { clock, milliseconds: 100, onGivenUp: () => lost++ };
    const relay = copyOutput(output.source, output.sink, output.progress, { patience, move: async () => output.move });
    await output.read(65);
    output.watcher?.waits(5);
    await clock.elapseIn({ of: 100, upTo: 200 });
    expect([lost, output.calls.at(-1), output.progress.pending]).toEqual([1, "stop", 0]);
    output.source.end("what waited");
    await relay.ended;
    expect(output.progress.taken).toBe(output.progress.given);
    expect(output.written).toHaveLength(65);
  });

  it("is being read by a client while less of it waits", async () => {
    const output = new MuchOutput();
    copyOutput(output.source, output.sink, output.progress, { move: async () => output.move });
    await output.read(65);
    output.watcher?.waits(400);
    const { steps } = output.progress;
    output.watcher?.waits(400);
    expect(output.progress.steps).toBe(steps);
    output.watcher?.waits(100);
    expect(output.progress).toMatchObject({ steps: steps + 1, pending: 1 });
  });

  it("ends with its source, whatever its move says", async () => {
    const output = new MuchOutput();
    const relay = copyOutput(output.source, output.sink, output.progress, { move: async () => output.move });
    await output.read(65);
    output.watcher?.moved(10);
    output.watcher?.waits(20);
    output.source.destroy();
    await relay.ended;
    expect(output.calls.at(-1)).toBe("stop");
    expect(output.progress.taken).toBe(output.progress.given);
    expect(output.progress.pending).toBe(0);
  });
});
