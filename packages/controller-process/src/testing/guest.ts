import { PassThrough } from "node:stream";
import type { LinuxProcessParameters, WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { GuestProcess, ProcessGuest } from "../types.ts";

type AnyParameters = LinuxProcessParameters | WindowsProcessParameters;

/** A fake process in a guest; the test controls its output, exit and loss. */
export class FakeGuestProcess implements GuestProcess<number | string> {
  readonly pid = 42;
  readonly stdin?: PassThrough;
  readonly stdout?: PassThrough;
  readonly stderr?: PassThrough;
  readonly signals: (number | string)[] = [];
  readonly sizes: (readonly [height: number, width: number])[] = [];
  isClosed = false;
  /** Whether the guest refuses to say if the process exists. */
  refuses = false;
  readonly #exit = Promise.withResolvers<number>();
  readonly #script: ScriptedCalls;
  #exists = true;

  constructor(parameters: AnyParameters, script: ScriptedCalls) {
    this.#script = script;
    if (parameters.CreateStdInPipe) this.stdin = new PassThrough();
    if (parameters.CreateStdOutPipe) this.stdout = new PassThrough();
    if (parameters.CreateStdErrPipe) this.stderr = new PassThrough();
  }

  wait(): Promise<number> {
    return this.#exit.promise;
  }

  /** The process ends; its output ends too, unless a child holds it open. */
  exit(code: number, options: { readonly keepsOutputOpen?: boolean } = {}): void {
    this.#exists = false;
    this.#exit.resolve(code);
    if (options.keepsOutputOpen) return;
    this.stdout?.end();
    this.stderr?.end();
  }

  lose(): void {
    this.#exit.reject(scriptedError("Unavailable", "the bridge has ended"));
    this.stdout?.destroy();
    this.stderr?.destroy();
  }

  /** The guest no longer knows the process and has not reported its exit. */
  vanish(): void {
    this.#exists = false;
  }

  /** The process ends, and the guest does not report it. */
  end(): void {
    this.#exists = false;
  }

  /** The process has ended, and the guest reports it when its output has been read. */
  exitOnceRead(code: number): void {
    this.#exists = false;
    const read = [this.stdout, this.stderr].map(
      (stream) => new Promise<void>((resolve) => (stream?.readableEnded ? resolve() : stream?.once("end", resolve))),
    );
    void Promise.all(read).then(() => this.#exit.resolve(code));
  }

  exists(abort?: AbortSignal): Promise<boolean> {
    return this.#script.run("exists", String(this.pid), abort, () => {
      if (this.refuses) throw scriptedError("Internal", "not now");
      return this.#exists;
    });
  }

  signal(signal: number | string, abort?: AbortSignal): Promise<void> {
    return this.#script.run("signal", String(signal), abort, () => {
      if (!this.#exists) throw scriptedError("NotFound", "no such process");
      this.signals.push(signal);
    });
  }

  resize(height: number, width: number, abort?: AbortSignal): Promise<void> {
    return this.#script.run("resize", `${height}x${width}`, abort, () => {
      if (!this.#exists) throw scriptedError("NotFound", "no such process");
      this.sizes.push([height, width]);
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.destroy();
  }
}

/** A guest that starts whatever it is asked to. */
export class FakeProcessGuest<Parameters extends AnyParameters = LinuxProcessParameters>
  implements ProcessGuest<Parameters, number | string>
{
  readonly processes: FakeGuestProcess[] = [];
  readonly parameters: Parameters[] = [];
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  execute(parameters: Parameters, signal?: AbortSignal): Promise<FakeGuestProcess> {
    return this.#script.run("execute", nameOf(parameters), signal, () => {
      const process = new FakeGuestProcess(parameters, this.#script);
      this.parameters.push(parameters);
      this.processes.push(process);
      return process;
    });
  }
}

function nameOf(parameters: AnyParameters): string {
  if ("CommandLine" in parameters) return parameters.CommandLine;
  return parameters.OCIProcess?.args?.join(" ") ?? "init";
}
