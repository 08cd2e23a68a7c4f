import type { StdioPaths } from "@uvm-shim/controller-process";
import { abortable, type Exit } from "@uvm-shim/lifecycle";
import type { ContainerProcess } from "./types.ts";

type CreateRequest = Parameters<ContainerProcess["create"]>[0];

/**
 * The init process as others see it: its exit is published when its container has ended and what that held is released,
 * as with microsoft/hcsshim. Whoever sees the exit may use the layers again.
 */
export class InitProcess implements ContainerProcess {
  readonly execId: string;
  /** The exit of the process itself. */
  readonly ended: Promise<Exit>;
  readonly #process: ContainerProcess;
  readonly #published = Promise.withResolvers<Exit>();
  #exit: Exit | undefined;
  #hasRun = false;

  constructor(process: ContainerProcess) {
    this.execId = process.execId;
    this.#process = process;
    this.ended = process.wait();
  }

  get pid(): number {
    return this.#process.pid;
  }

  get stdio(): StdioPaths {
    return this.#process.stdio;
  }

  get state(): "created" | "running" | "stopped" {
    if (this.#process.state !== "stopped" || this.#exit !== undefined) return this.#process.state;
    return this.#hasRun ? "running" : "created";
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  get hasEnded(): boolean {
    return this.#process.hasEnded;
  }

  create(request: CreateRequest, signal?: AbortSignal): Promise<void> {
    return this.#process.create(request, signal);
  }

  expectPid(pid: number): void {
    this.#process.expectPid(pid);
  }

  async start(signal?: AbortSignal): Promise<number> {
    const pid = await this.#process.start(signal);
    this.#hasRun = true;
    return pid;
  }

  kill(signalNumber: number, signal?: AbortSignal): Promise<void> {
    return this.#process.kill(signalNumber, signal);
  }

  resize(width: number, height: number, signal?: AbortSignal): Promise<void> {
    return this.#process.resize(width, height, signal);
  }

  closeStdin(signal?: AbortSignal): Promise<void> {
    return this.#process.closeStdin(signal);
  }

  wait(signal?: AbortSignal): Promise<Exit> {
    return abortable(this.#published.promise, signal);
  }

  abandon(status: number): Promise<void> {
    return this.#process.abandon(status);
  }

  vmExited(exit: { readonly reason: string }): void {
    this.#process.vmExited(exit);
  }

  publish(exit: Exit): void {
    this.#exit ??= exit;
    this.#published.resolve(this.#exit);
  }
}
