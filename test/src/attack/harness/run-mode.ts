import { setTimeout as delay } from "node:timers/promises";
import type { ClientStdio } from "../../shim-client/client-stdio.ts";
import { Sandbox, Task } from "../../shim-client/shim.ts";
import { poll } from "../../support/wait.ts";
import type { Mode } from "../modes/mode.ts";
import { bounds } from "./bounds.ts";
import { problemOfError } from "./errors.ts";
import { HostilePod, type HostilePodOptions } from "./hostile-pod.ts";
import { Provoker } from "./provocations.ts";

export interface ModeResult {
  readonly mode: string;
  readonly problems: readonly string[];
  readonly figures: {
    readonly memoryMiB: number;
    readonly stateMs: number;
    readonly deleteMs: number;
    readonly killMs: number;
    readonly removeMs: number;
    readonly logBytesPerMinute: number;
    readonly events: number;
  };
}

const askMs = 100;
const callMs = 10_000;
const bootMs = 30_000;
/** How long a pod that does not come up is looked at, once its guest has attacked. */
const brokenBootMs = 1_500;
const restMs = 300;
const longestMs = 8_000;
const stopSeconds = 5;

/** One pod whose guest is hostile in one way, and what it must leave untouched. */
export class ModeRun {
  readonly #mode: Mode;
  readonly #options: HostilePodOptions;
  readonly #problems: string[] = [];
  readonly #figures = {
    memoryMiB: 0,
    stateMs: 0,
    deleteMs: 0,
    killMs: 0,
    removeMs: 0,
    logBytesPerMinute: 0,
    events: 0,
  };

  #booting: Promise<void> | undefined;

  constructor(mode: Mode, options: HostilePodOptions) {
    this.#mode = mode;
    this.#options = options;
  }

  async run(): Promise<ModeResult> {
    const mode = this.#mode;
    const pod = await HostilePod.start(this.#options);
    const memory = setInterval(() => this.#lookAtMemory(pod), askMs);
    try {
      if (mode.boot === undefined) await this.#attackRunning(pod);
      else await this.#attackBooting(pod);
      if (pod.deeds.length === 0) this.#problems.push("the guest has not attacked");
      this.#lookAtMemory(pod);
      await this.#remove(pod);
      // A start that went on until then has failed with the removal, and its text is judged, too.
      await this.#booting;
      this.#judge(pod);
    } catch (error) {
      this.#problems.push(`the case could not be gone through: ${(error as Error).stack}`);
      await pod.force().catch(() => {});
    } finally {
      clearInterval(memory);
      for (const mount of await pod.close()) this.#problems.push(`left over: mount ${mount} in a bundle`);
    }
    return { mode: mode.name, problems: this.#problems, figures: this.#figures };
  }

  async #attackBooting(pod: HostilePod): Promise<void> {
    await pod.createSandbox(bootMs);
    const booting = this.#noting("boot", () => pod.boot(bootMs));
    this.#booting = booting;
    const done = Promise.race([booting, this.#deed(pod).then(() => delay(brokenBootMs))]);
    await Promise.all([
      done,
      this.#askUntil(pod, done, () =>
        pod.shim.call(Sandbox, "SandboxStatus", { sandboxId: pod.id }, { timeoutMs: callMs }),
      ),
    ]);
  }

  /** Resolves when the guest has attacked, or is not going to. */
  async #deed(pod: HostilePod): Promise<void> {
    await poll("the guest's deed", () => pod.deeds.length > 0 || undefined, { timeoutMs: bootMs }).catch(() => {});
  }

  async #attackRunning(pod: HostilePod): Promise<void> {
    await pod.createSandbox(bootMs);
    await pod.boot(bootMs);
    for (const [name, args] of [
      ["calm", ["sleep", "1000"]],
      ["gone", ["exit", "0"]],
    ] as const) {
      await pod.create(name, args, false, callMs);
      await pod.startTask(name, callMs);
    }
    await poll("the exit of a container", () => pod.exitsOf("gone").length > 0 || undefined, { timeoutMs: callMs });

    const attack = this.#provoke(pod);
    await Promise.all([
      attack,
      this.#askUntil(pod, attack, () => pod.shim.call(Task, "State", { id: pod.idOf("calm") }, { timeoutMs: callMs })),
      this.#deleteOther(pod),
      this.#killOther(pod),
    ]);
    if (this.#mode.mustEnd) await this.#endVictim(pod);
  }

  /** Starts the victim and asks about it; resolves when the attack is over. */
  async #provoke(pod: HostilePod): Promise<void> {
    const started = performance.now();
    const { provoke = [], stdio = false, busy = false } = this.#mode;
    let client: ClientStdio | undefined;
    await this.#noting("create", async () => {
      client = await pod.create("victim", ["sleep", "1000"], stdio, 3_000);
    });
    await this.#noting("start", () => pod.startTask("victim", 3_000));
    const provoker = new Provoker(pod, client);
    for (const what of provoke) {
      if (performance.now() - started > longestMs) break;
      await this.#noting(what, () => provoker.provoke(what));
    }
    const least = (busy ? this.#options.orders.floodMs : 800) + restMs;
    await delay(Math.max(restMs, least - (performance.now() - started)));
  }

  /** Asks again and again, until something else is over; each answer must come in time, be it a refusal. */
  async #askUntil(pod: HostilePod, over: Promise<unknown>, ask: () => Promise<unknown>): Promise<void> {
    let isOver = false;
    void over.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const stopwatch = pod.stopwatch();
      await this.#noting("State", ask);
      this.#figures.stateMs = Math.max(this.#figures.stateMs, stopwatch.elapsed);
      await delay(askMs);
    }
  }

  async #deleteOther(pod: HostilePod): Promise<void> {
    await delay(4 * askMs);
    const stopwatch = pod.stopwatch();
    try {
      await pod.shim.call(Task, "Delete", { id: pod.idOf("gone") }, { timeoutMs: callMs });
    } catch (error) {
      // A guest that has fallen silent may have its container refused; what then holds it goes with the pod.
      if (!this.#mode.silent)
        this.#problems.push(`another container could not be deleted: ${(error as Error).message}`);
    }
    this.#figures.deleteMs = stopwatch.elapsed;
  }

  /** While the attack goes on, so that the exit is reported in the middle of it. */
  async #killOther(pod: HostilePod): Promise<void> {
    await delay(6 * askMs);
    await this.#noting("kill of another", () =>
      pod.shim.call(Task, "Kill", { id: pod.idOf("calm"), signal: 9 }, { timeoutMs: callMs }),
    );
  }

  async #endVictim(pod: HostilePod): Promise<void> {
    const id = pod.idOf("victim");
    const stopwatch = pod.stopwatch();
    await this.#noting("last kill", () => pod.shim.call(Task, "Kill", { id, signal: 9 }, { timeoutMs: callMs }));
    try {
      await pod.shim.call(Task, "Wait", { id }, { timeoutMs: bounds.killMs + callMs });
      this.#figures.killMs = stopwatch.elapsed;
    } catch (error) {
      this.#figures.killMs = stopwatch.elapsed;
      const { code, message } = error as { readonly code?: string; readonly message: string };
      if (code !== "NotFound") this.#problems.push(`the exit of the killed victim was not reported: ${message}`);
    }
  }

  async #remove(pod: HostilePod): Promise<void> {
    const stopwatch = pod.stopwatch();
    const limit = new AbortController();
    try {
      await Promise.race([
        pod.remove(stopSeconds),
        delay(2 * bounds.removeMs, undefined, { signal: limit.signal }).then(() => {
          throw new Error(`it is still there after ${2 * bounds.removeMs} ms`);
        }),
      ]);
    } catch (error) {
      this.#problems.push(`the pod could not be removed: ${(error as Error).message.slice(0, 300)}`);
      await pod.force();
    } finally {
      limit.abort();
    }
    this.#figures.removeMs = stopwatch.elapsed;
  }

  #judge(pod: HostilePod): void {
    const figures = this.#figures;
    figures.logBytesPerMinute = pod.log.bytesPerMinute;
    figures.events = pod.eventCount;
    this.#problems.push(...pod.log.problems);
    this.#bound(figures.memoryMiB, bounds.memoryMiB, "the shim had %s MiB resident");
    this.#bound(figures.logBytesPerMinute, bounds.logBytesPerMinute, "the shim logged %s bytes a minute");
    this.#bound(figures.events, bounds.events, "the shim sent %s events");
    this.#bound(figures.stateMs, bounds.stateMs, "State took %s ms");
    this.#bound(figures.deleteMs, bounds.deleteMs, "Delete took %s ms");
    this.#bound(figures.killMs, bounds.killMs, "the end of the killed victim took %s ms");
    this.#bound(figures.removeMs, bounds.removeMs, "the removal took %s ms");
    if (this.#mode.boot !== undefined) return;
    for (const name of ["calm", "gone"]) {
      const exits = pod.exitsOf(name);
      if (exits.length !== 1)
        this.#problems.push(`the exit of ${name} was reported ${exits.length} times, expected once`);
    }
    if (pod.exitsOf("victim").length > 1) this.#problems.push("the victim's exit was reported more than once");
  }

  #bound(value: number, most: number, text: string): void {
    if (value > most) this.#problems.push(`${text.replace("%s", value.toFixed(0))}, at most ${most} may be`);
  }

  #lookAtMemory(pod: HostilePod): void {
    this.#figures.memoryMiB = Math.max(this.#figures.memoryMiB, pod.peakMemory ?? 0);
  }

  /** Does what may fail, but not with any text. */
  async #noting(call: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const problem = problemOfError(call, error);
      if (problem !== undefined) this.#problems.push(problem);
    }
  }
}
