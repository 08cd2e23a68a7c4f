import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { ProcessController, type ProcessControllerOptions } from "../controller.ts";
import { linuxProcesses } from "../lcow.ts";
import type { StdioPaths } from "../types.ts";
import { ManualClock } from "./clock.ts";
import { type FakeGuestProcess, FakeProcessGuest } from "./guest.ts";
import { type FakeOpenStdio, FakeUpstream } from "./upstream.ts";

export { ManualClock } from "./clock.ts";
export { FakeGuestProcess, FakeProcessGuest } from "./guest.ts";
export { FakeOpenStdio, FakeUpstream } from "./upstream.ts";

/** A client with three pipes. */
export const pipes: StdioPaths = { stdin: "/fifo/in", stdout: "/fifo/out", stderr: "/fifo/err", terminal: false };
/** A client with a terminal. */
export const terminal: StdioPaths = { stdin: "/fifo/in", stdout: "/fifo/out", stderr: "", terminal: true };
/** A client that wants none of the streams. */
export const noPipes: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/** A process controller with fakes of guest and client. */
export class ProcessBench {
  readonly clock = new ManualClock();
  readonly guest: FakeProcessGuest;
  readonly upstream: FakeUpstream;
  readonly controller: ProcessController;
  readonly script: ScriptedCalls;

  constructor(script = new ScriptedCalls(), execId = "", options: Partial<ProcessControllerOptions> = {}) {
    this.script = script;
    this.guest = new FakeProcessGuest(script);
    this.upstream = new FakeUpstream(script);
    const { clock, guest, upstream } = this;
    const flavour = linuxProcesses;
    this.controller = new ProcessController({ containerId: "c1", execId, guest, flavour, upstream, clock, ...options });
  }

  get guestProcess(): FakeGuestProcess {
    const process = this.guest.processes.at(-1);
    if (process === undefined) throw new Error("the guest has no process");
    return process;
  }

  get client(): FakeOpenStdio {
    const stdio = this.upstream.opened.at(-1);
    if (stdio === undefined) throw new Error("no stdio was opened");
    return stdio;
  }

  async started(stdio: StdioPaths = pipes): Promise<this> {
    await this.controller.create({ stdio });
    await this.controller.start();
    return this;
  }
}
