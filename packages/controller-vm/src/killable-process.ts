import type { Duplex } from "node:stream";
import { codeOf } from "@uvm-shim/lifecycle";
import type { VmProcess } from "./types.ts";

const sigkill = 9;

/** Runs a program of the guest that sends a signal. */
export type SendSignal = (pid: number, signal: number, abort?: AbortSignal) => Promise<VmProcess>;

/**
 * A process of a Linux guest itself. Guests cannot signal it on behalf of the host, but they can run a program that does.
 * Where a policy forbids that, or the guest lacks the program, SIGKILL closes the stdio, which ends most processes, and is
 * reported as Unimplemented.
 */
export class KillableProcess implements VmProcess {
  readonly pid: number;
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  readonly #process: VmProcess;
  readonly #sendSignal: SendSignal;
  #hasEnded = false;

  constructor(process: VmProcess, sendSignal: SendSignal) {
    this.pid = process.pid;
    if (process.stdin !== undefined) this.stdin = process.stdin;
    if (process.stdout !== undefined) this.stdout = process.stdout;
    if (process.stderr !== undefined) this.stderr = process.stderr;
    this.#process = process;
    this.#sendSignal = sendSignal;
    const ended = (): void => {
      this.#hasEnded = true;
    };
    process.wait().then(ended, ended);
  }

  wait(): Promise<number> {
    return this.#process.wait();
  }

  exists(abort?: AbortSignal): Promise<boolean> {
    return this.#process.exists(abort);
  }

  async signal(signal: number, abort?: AbortSignal): Promise<void> {
    try {
      await this.#process.signal(signal, abort);
    } catch (error) {
      if (codeOf(error) !== "Unimplemented") throw error;
      if (this.#hasEnded || (await this.#isSent(signal, abort))) return;
      if (signal === sigkill) await this.close();
      throw error;
    }
  }

  async #isSent(signal: number, abort?: AbortSignal): Promise<boolean> {
    try {
      const sender = await this.#sendSignal(this.pid, signal, abort);
      try {
        return (await Promise.race([sender.wait(), this.wait().then(() => 0)])) === 0;
      } finally {
        await sender.close();
      }
    } catch {
      return false;
    }
  }

  resize(height: number, width: number, abort?: AbortSignal): Promise<void> {
    return this.#process.resize(height, width, abort);
  }

  close(): Promise<void> {
    return this.#process.close();
  }
}
