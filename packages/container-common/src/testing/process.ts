import type { GuestProcess, ProcessGuest, StdioPaths } from "@uvm-shim/controller-process";
import type { Exit } from "@uvm-shim/lifecycle";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { ContainerProcess, ProcessFactory } from "../types.ts";

type ProcessFactoryOptions<Guest> = Parameters<ProcessFactory<Guest, never>>[0];

/** A process without stdio. */
export class FakeGuestProcess implements GuestProcess<number | string> {
  readonly pid: number;
  readonly signals: (number | string)[] = [];
  readonly #exit = Promise.withResolvers<number>();
  #hasExited = false;

  constructor(pid: number) {
    this.pid = pid;
  }

  wait(): Promise<number> {
    return this.#exit.promise;
  }

  exit(code: number): void {
    this.#hasExited = true;
    this.#exit.resolve(code);
  }

  async exists(): Promise<boolean> {
    return !this.#hasExited;
  }

  async signal(signal: number | string): Promise<void> {
    this.signals.push(signal);
    if (signal === 9) this.exit(137);
  }

  async resize(): Promise<void> {}

  async close(): Promise<void> {}
}

/** The number of open ends of stdio of all processes. */
export interface StdioCount {
  open: number;
}

/** The parameters with which the guest is asked to run what was described. */
export type ParametersOf<Description, Parameters> = (
  description: Description | undefined,
  pipes: typeof noPipes,
) => Parameters;

const noPipes = { EmulateConsole: false, CreateStdInPipe: false, CreateStdOutPipe: false, CreateStdErrPipe: false };

/** A fake process without output. */
export class FakeProcess<Description, Parameters, Signal extends number | string = number>
  implements ContainerProcess<Description>
{
  readonly execId: string;
  stdio: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };
  pid = 0;
  state: "created" | "running" | "stopped" = "created";
  exit: Exit | undefined;
  readonly #guest: ProcessGuest<Parameters, Signal>;
  readonly #parametersOf: ParametersOf<Description, Parameters>;
  readonly #script: ScriptedCalls;
  readonly #count: StdioCount;
  readonly #exited = Promise.withResolvers<Exit>();
  #phase: "new" | "created" | "starting" | "running" | "ended" = "new";
  #process: Description | undefined;
  #guestProcess: GuestProcess<Signal> | undefined;

  constructor(
    options: ProcessFactoryOptions<ProcessGuest<Parameters, Signal>>,
    script: ScriptedCalls,
    count: StdioCount,
    parametersOf: ParametersOf<Description, Parameters>,
  ) {
    this.#parametersOf = parametersOf;
    this.execId = options.execId;
    this.#guest = options.guest;
    this.#script = script;
    this.#count = count;
  }

  get hasEnded(): boolean {
    return this.exit !== undefined;
  }

  async create(request: { stdio: StdioPaths; process?: Description }, signal?: AbortSignal): Promise<void> {
    const { open } = this.#count;
    try {
      await this.#script.run("openStdio", this.execId, signal, () => void this.#count.open++);
    } catch (error) {
      // Closes the ends that it has opened but cannot return.
      this.#count.open = open;
      throw error;
    }
    this.stdio = request.stdio;
    this.#process = request.process;
    this.#phase = "created";
  }

  expectPid(pid: number): void {
    if (this.#phase === "created") this.pid = pid;
  }

  async start(signal?: AbortSignal): Promise<number> {
    if (this.#phase !== "created") throw scriptedError("FailedPrecondition", `cannot start, it is ${this.#phase}`);
    this.#phase = "starting";
    try {
      const guestProcess = await this.#guest.execute(this.#parametersOf(this.#process, noPipes), signal);
      this.#guestProcess = guestProcess;
      this.pid = guestProcess.pid;
      this.state = "running";
      this.#phase = "running";
      void guestProcess.wait().then((status) => this.#end(status));
      return this.pid;
    } catch (error) {
      this.#end(255);
      throw error;
    }
  }

  async kill(signalNumber: number): Promise<void> {
    if (this.#phase === "ended") throw scriptedError("NotFound", "process already finished");
    if (this.#guestProcess === undefined) await this.abandon(128 + signalNumber);
    else await this.#guestProcess.signal(signalNumber as Signal);
  }

  async resize(): Promise<void> {}

  async closeStdin(): Promise<void> {}

  wait(): Promise<Exit> {
    return this.#exited.promise;
  }

  async abandon(status: number): Promise<void> {
    if (this.#phase === "created") this.#end(status);
  }

  vmExited(_exit: { readonly reason: string }): void {
    void this.abandon(255);
    if (this.#phase === "running") this.#end(255);
  }

  #end(status: number): void {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    this.state = "stopped";
    this.#count.open--;
    this.exit = { status, exitedAt: new Date(0) };
    this.#exited.resolve(this.exit);
  }
}
