/** A Windows program that runs in a container: its streams, its end, and what can be asked of it meanwhile. */
import { Readable, Writable } from "node:stream";
import type { ChildProcess } from "@uvm-shim/child-processes";
import { encodeFrame, encodeNumber, encodeStart, type ProgramStart, readFrames, type StarterFrame } from "./frames.ts";

/** Longest bytes of one frame of input; the starter takes any, this keeps a program that reads slowly from holding more. */
const longestInput = 65_536;

/** Events that Windows raises in the programs of a console, by number. */
export const controlEvents = { CtrlC: 0, CtrlBreak: 1, CtrlClose: 2, CtrlLogOff: 5, CtrlShutdown: 6 } as const;
export type ControlEvent = keyof typeof controlEvents;

/** A program that could not be started, or a request that Windows refused: with its error number. */
export class WindowsError extends Error {
  override readonly name = "WindowsError";
  readonly number: number;

  constructor(number: number, what: string) {
    super(`${what}: Windows error ${number}`);
    this.number = number;
  }
}

export class WindowsProgram {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** All 32 bits. Rejects when the container ends first. */
  readonly exited: Promise<number>;
  readonly #starter: ChildProcess;
  readonly #started = Promise.withResolvers<number>();
  readonly #exit = Promise.withResolvers<number>();
  readonly #answers: PromiseWithResolvers<number>[] = [];
  #inputTaken: ((error: Error | null) => void) | undefined;
  #processId = 0;

  private constructor(starter: ChildProcess, start: ProgramStart) {
    this.#starter = starter;
    this.exited = this.#exit.promise;
    this.exited.catch(() => {});
    // The starter may end before it has read all: what it has said by then tells why.
    starter.stdin?.on("error", () => {});
    this.stdin = new Writable({
      highWaterMark: longestInput,
      write: (chunk: Buffer, _, done) => void this.#writeAll(chunk).then(() => done(), done),
      final: (done) => {
        this.#send(encodeFrame("i"));
        done();
      },
    });
    // A program that reads no more, or has ended: the writer learns it from `write`.
    this.stdin.on("error", () => {});
    const output = (kind: "o" | "e"): Readable => new Readable({ read: () => this.#send(encodeFrame(kind)) });
    this.stdout = output("o");
    this.stderr = output("e");
    if (!start.hasOutput && start.console === undefined) this.stdout.push(null);
    if (!start.hasError || start.console !== undefined) this.stderr.push(null);
  }

  /** Throws a WindowsError when Windows does not start it. `starter` has been started for it alone. */
  static async start(starter: ChildProcess, start: ProgramStart): Promise<WindowsProgram> {
    const program = new WindowsProgram(starter, start);
    program.#send(encodeStart(start));
    void program.#listen();
    program.#processId = await program.#started.promise;
    return program;
  }

  /** That of Windows, unique within the container. */
  get processId(): number {
    return this.#processId;
  }

  /** Raises an event in the program and all that it has started. */
  raise(event: ControlEvent): Promise<void> {
    return this.#ask(encodeNumber("c", controlEvents[event]), event);
  }

  resize(width: number, height: number): Promise<void> {
    return this.#ask(encodeNumber("z", ((height << 16) | width) >>> 0), `resize to ${width} x ${height}`);
  }

  terminate(): Promise<void> {
    return this.#ask(encodeFrame("t"), "terminate");
  }

  /** Ends the starter. What the program has started goes on; nobody reads its output any more. */
  release(): void {
    this.#starter.stdin?.end();
  }

  async #ask(frame: Buffer, what: string): Promise<void> {
    const answer = Promise.withResolvers<number>();
    this.#answers.push(answer);
    this.#send(frame);
    const error = await answer.promise;
    if (error !== 0) throw new WindowsError(error, what);
  }

  #send(frame: Buffer): void {
    if (this.#starter.stdin?.writable) this.#starter.stdin.write(frame);
  }

  async #writeAll(chunk: Buffer): Promise<void> {
    for (let offset = 0; offset < chunk.length; offset += longestInput) {
      const taken = Promise.withResolvers<void>();
      this.#inputTaken = (error) => (error === null ? taken.resolve() : taken.reject(error));
      this.#send(encodeFrame("i", chunk.subarray(offset, offset + longestInput)));
      await taken.promise;
    }
  }

  async #listen(): Promise<void> {
    let cause = new Error("the container has ended, or Wine in it");
    try {
      for await (const frame of readFrames(this.#starter.stdout as Readable)) this.#take(frame);
    } catch (error) {
      cause = error as Error;
    }
    this.#started.reject(cause);
    this.#exit.reject(cause);
    this.#inputTaken?.(cause);
    for (const answer of this.#answers) answer.reject(cause);
    for (const output of [this.stdout, this.stderr]) if (!output.readableEnded) output.push(null);
  }

  #take({ kind, payload }: StarterFrame): void {
    const number = payload.length === 4 ? payload.readUInt32LE(0) : 0;
    switch (kind) {
      case "s":
        this.#started.resolve(number);
        return;
      case "f":
        this.#started.reject(new WindowsError(number, "the program cannot be started"));
        return;
      case "x":
        this.#exit.resolve(number);
        this.#inputTaken?.(new Error("the program has ended"));
        return;
      case "o":
        this.stdout.push(payload.length === 0 ? null : payload);
        return;
      case "e":
        this.stderr.push(payload.length === 0 ? null : payload);
        return;
      case "i":
        this.#inputTaken?.(number === 0 ? null : new WindowsError(number, "the program reads no more"));
        return;
      case "a":
        this.#answers.shift()?.resolve(number);
        return;
      default:
        throw new Error(
          `the starter sent a frame of kind ${JSON.stringify(kind)}: expected one of s, f, x, o, e, i, a`,
        );
    }
  }
}
