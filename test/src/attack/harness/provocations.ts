/** What is asked of a shim about the victim, for its guest to misbehave at. */

import type { ClientStdio } from "../../shim-client/client-stdio.ts";
import { Task } from "../../shim-client/shim.ts";
import { processSpec } from "../../shim-client/spec.ts";
import type { Provocation } from "../modes/mode.ts";
import type { HostilePod } from "./hostile-pod.ts";

const timeoutMs = 3_000;
const limits = { timeoutMs };
const processType = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const resourcesType = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
const talkBytes = 4 * 1024 * 1024;

export class Provoker {
  readonly #pod: HostilePod;
  readonly #stdio: ClientStdio | undefined;
  #execs = 0;

  constructor(pod: HostilePod, stdio: ClientStdio | undefined) {
    this.#pod = pod;
    this.#stdio = stdio;
  }

  async provoke(what: Provocation): Promise<void> {
    const { shim } = this.#pod;
    const id = this.#pod.idOf("victim");
    switch (what) {
      case "stats":
        await shim.call(Task, "Stats", { id }, limits);
        return;
      case "pids":
        await shim.call(Task, "Pids", { id }, limits);
        return;
      case "exec":
        await this.#exec(id);
        return;
      case "terminate":
        await shim.call(Task, "Kill", { id, signal: 15 }, limits);
        return;
      case "kill":
        await shim.call(Task, "Kill", { id, signal: 9 }, limits);
        return;
      case "resize":
        await shim.call(Task, "ResizePty", { id, width: 80, height: 24 }, limits);
        return;
      case "pause":
        await shim.call(Task, "Pause", { id }, limits);
        return;
      case "update":
        await this.#update(id);
        return;
      case "delete":
        // One that still runs is refused, and the guest hears nothing of it.
        await shim.call(Task, "Wait", { id }, limits).catch(() => {});
        await shim.call(Task, "Delete", { id }, limits);
        return;
      case "signal":
        process.kill(this.#pod.shimPid, "SIGUSR1");
        return;
      case "talk":
        this.#stdio?.stdin.write(Buffer.alloc(talkBytes, "a"));
        return;
    }
  }

  async #exec(id: string): Promise<void> {
    this.#execs += 1;
    const execId = `exec-${this.#execs}`;
    const value = Buffer.from(JSON.stringify(processSpec({ args: ["exit", "3"] })));
    await this.#pod.shim.call(Task, "Exec", { id, execId, spec: { type_url: processType, value } }, limits);
    await this.#pod.shim.call(Task, "Start", { id, execId }, limits);
  }

  async #update(id: string): Promise<void> {
    const value = Buffer.from(JSON.stringify({ memory: { limit: 64 * 1024 * 1024 } }));
    await this.#pod.shim.call(Task, "Update", { id, resources: { type_url: resourcesType, value } }, limits);
  }
}
