import { PassThrough, Writable } from "node:stream";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type { OpenStdio, StdioPaths, UpstreamStdio } from "../types.ts";

/** A client's end of an output stream, which reads a chunk at once, or when the test lets it. */
export class FakeOutput extends Writable {
  readonly #chunks: Buffer[] = [];
  #waiting: (() => void)[] = [];
  #isHeld: boolean;

  constructor(isHeld: boolean) {
    super({ highWaterMark: 1024 });
    this.#isHeld = isHeld;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Stops reading. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Reads what waits and everything that follows. */
  release(): void {
    this.#isHeld = false;
    for (const take of this.#waiting.splice(0)) take();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const take = (): void => {
      this.#chunks.push(chunk);
      done();
    };
    if (this.#isHeld) this.#waiting.push(take);
    else setImmediate(take);
  }
}

/** A client's ends, which tests read and write. */
export class FakeOpenStdio implements OpenStdio {
  readonly stdin?: PassThrough;
  readonly stdout?: FakeOutput;
  readonly stderr?: FakeOutput;
  isClosed = false;
  isStdinClosed = false;
  /** Waits forever for a client that does not read. */
  neverCloses = false;
  readonly #onClose: () => void;

  constructor(paths: StdioPaths, holdsOutput: boolean, onClose: () => void) {
    this.#onClose = onClose;
    if (paths.stdin !== "") this.stdin = new PassThrough();
    if (paths.stdout !== "") this.stdout = new FakeOutput(holdsOutput);
    if (paths.stderr !== "") this.stderr = new FakeOutput(holdsOutput);
  }

  closeStdin(): void {
    this.isStdinClosed = true;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.#onClose();
    if (this.neverCloses) await new Promise<never>(() => {});
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.destroy();
  }
}

/** Opens the ends of as many clients as a test has. */
export class FakeUpstream implements UpstreamStdio {
  readonly opened: FakeOpenStdio[] = [];
  holdsOutput = false;
  onClose: () => void = () => {};
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  open(paths: StdioPaths, signal?: AbortSignal): Promise<FakeOpenStdio> {
    return this.#script.run("open", paths.stdout, signal, () => {
      const stdio = new FakeOpenStdio(paths, this.holdsOutput, () => this.onClose());
      this.opened.push(stdio);
      return stdio;
    });
  }
}
