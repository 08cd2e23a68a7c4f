import type { Exit, Step } from "@uvm-shim/lifecycle";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { PodProgram, PodShare } from "../diagnosis.ts";

/** A program of the VM itself that runs until it is killed, or a test ends it. */
export class FakeProgram implements PodProgram {
  readonly name: string;
  pid = 0;
  state: PodProgram["state"] = "created";
  readonly #script: ScriptedCalls;
  readonly #exited = Promise.withResolvers<Exit>();

  constructor(name: string, script: ScriptedCalls) {
    this.name = name;
    this.#script = script;
  }

  create(_request: object, signal?: AbortSignal): Promise<void> {
    return this.#script.run("open stdio", this.name, signal, () => {});
  }

  async start(signal?: AbortSignal): Promise<number> {
    try {
      return await this.#script.run("start program", this.name, signal, () => {
        this.pid = 7;
        this.state = "running";
        return this.pid;
      });
    } catch (error) {
      // As with the real one, a failed start ends it.
      this.exit(255);
      throw error;
    }
  }

  wait(): Promise<Exit> {
    return this.#exited.promise;
  }

  kill(signalNumber: number): Promise<void> {
    return this.#script.run("kill program", this.name, undefined, () => this.exit(128 + signalNumber));
  }

  async abandon(status: number): Promise<void> {
    if (this.state === "created") this.exit(status);
  }

  vmExited(): void {
    this.exit(255);
  }

  exit(status: number): void {
    if (this.state === "stopped") return;
    this.state = "stopped";
    this.#exited.resolve({ status, exitedAt: new Date(6_000) });
  }
}

/** A step of host and guest each; `shown` has the guest paths that are in use. */
export function shareSteps({ guestPath }: PodShare, script: ScriptedCalls, shown: Set<string>): readonly Step[] {
  return [
    {
      name: `share at ${guestPath}`,
      acquire: (signal) =>
        script.run("add share", guestPath, signal, () => {
          if (shown.has(guestPath)) throw scriptedError("AlreadyExists", `${guestPath} is in use`);
          shown.add(guestPath);
        }),
      release: (signal) => script.run("remove share", guestPath, signal, () => void shown.delete(guestPath)),
    },
  ];
}
