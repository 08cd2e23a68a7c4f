/** A pod of real containers in which one of its lasting processes is killed at a point that the seed says. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { readProcesses, takeHoldings } from "../../leaks/holdings.ts";
import { shimScope } from "../../leaks/shim-scope.ts";
import { Pod, type PodContainer, readOnlyRoot } from "../../shim-client/pod.ts";
import { deleteShim, type ShimIdentity, Task } from "../../shim-client/shim.ts";
import { DISTRIBUTION, HOST_ENVIRONMENT, SHIM } from "../../support/programs.ts";
import { SERVERS } from "../../support/servers.ts";
import { leftOver } from "../harness/leftovers.ts";
import { type ChaosPlan, type ContainerStep, planChaos } from "./plan.ts";

export interface ChaosResult {
  readonly plan: ChaosPlan;
  readonly problems: readonly string[];
  /** Whether there was something to kill at that point. */
  readonly struck: boolean;
}

export interface ChaosContext {
  readonly directory: string;
  readonly rootfs: string;
  readonly signal: AbortSignal;
}

const HOST = join(DISTRIBUTION, "hcs-emulator");
const callsMs = 40_000;

export async function runChaos(seed: number, context: ChaosContext): Promise<ChaosResult> {
  const plan = planChaos(seed);
  const before = await takeHoldings(shimScope([context.directory]));
  const run = new ChaosRun(plan, context);
  const problems = await run.run();
  const left = await leftOver(before, context.directory, context.signal);
  return { plan, problems: [...problems, ...left], struck: run.struck };
}

class ChaosRun {
  struck = false;
  readonly #plan: ChaosPlan;
  readonly #context: ChaosContext;
  readonly #directory: string;
  readonly #id: string;
  #calls = 0;
  #execs = 0;
  #killing: Promise<void> = Promise.resolve();

  constructor(plan: ChaosPlan, context: ChaosContext) {
    this.#plan = plan;
    this.#context = context;
    this.#id = `chaos-${plan.seed}`;
    this.#directory = join(context.directory, this.#id);
    mkdirSync(this.#directory);
  }

  async run(): Promise<readonly string[]> {
    const problems: string[] = [];
    const signal = AbortSignal.any([this.#context.signal, AbortSignal.timeout(callsMs)]);
    let pod: Pod | undefined;
    try {
      pod = await Pod.run({
        ...{ executable: SHIM, directory: this.#directory, id: this.#id, environment: HOST_ENVIRONMENT, signal },
        observer: { begins: () => this.#called(), ended: () => {} },
      });
      for (const [index, steps] of this.#plan.containers.entries()) await this.#useContainer(pod, index, steps);
      await pod.remove();
    } catch (error) {
      // Calls to a killed process fail; it only matters that each is answered.
      if (signal.aborted)
        problems.push(`its calls were not answered within ${callsMs} ms: ${(error as Error).message}`);
    }
    await this.#killing;
    problems.push(...(await this.#cleanUp(pod)));
    return problems;
  }

  async #useContainer(pod: Pod, index: number, steps: readonly ContainerStep[]): Promise<void> {
    const rootfs = readOnlyRoot(this.#context.rootfs);
    const container = await pod.createContainer({ id: `${this.#id}-${index}`, args: ["sleep", "1000"], rootfs });
    try {
      await container.start();
      for (const step of steps) {
        if (step !== "delete") this.#called();
        await this.#take(step, pod, container);
      }
    } finally {
      container.stdio.close();
    }
  }

  async #take(step: ContainerStep, pod: Pod, container: PodContainer): Promise<void> {
    const { id } = container;
    switch (step) {
      case "exec": {
        const execId = `exec-${this.#execs}`;
        this.#execs += 1;
        await container.addExec(execId, { args: ["true"] }, {});
        await container.startExec(execId);
        await container.wait(execId);
        await container.deleteExec(execId);
        return;
      }
      case "stats":
        await pod.shim.call(Task, "Stats", { id });
        return;
      case "pids":
        await pod.shim.call(Task, "Pids", { id });
        return;
      case "kill":
        await container.kill(9);
        return;
      case "wait":
        await container.wait();
        return;
      case "delete":
        await container.delete();
        return;
    }
  }

  #called(): void {
    if (this.#calls === this.#plan.call) {
      this.#killing = new Promise((resolve) => {
        setTimeout(() => {
          this.#kill();
          resolve();
        }, this.#plan.delayMs);
      });
    }
    this.#calls += 1;
  }

  #kill(): void {
    for (const { pid, command } of readProcesses()) {
      if (!SERVERS[this.#plan.victim].test(command)) continue;
      this.struck = true;
      kill(pid);
    }
  }

  /** As containerd does with a shim that has not ended in order. */
  async #cleanUp(pod: Pod | undefined): Promise<readonly string[]> {
    const identity: ShimIdentity = {
      ...{ executable: SHIM, namespace: "pods", id: this.#id, bundle: join(this.#directory, this.#id) },
      ...{ eventSocket: join(this.#directory, "events.sock"), environment: HOST_ENVIRONMENT },
    };
    for (const { pid, command } of readProcesses()) if (SERVERS.shim.test(command)) kill(pid);
    mkdirSync(identity.bundle, { recursive: true });
    const problems: string[] = [];
    await deleteShim(identity).catch((error: unknown) => problems.push(`delete failed: ${(error as Error).message}`));
    await pod?.abandon().catch((error: unknown) => problems.push(`delete failed again: ${(error as Error).message}`));
    // A host that was killed leaves what the next one that starts removes, as the first shim after it has one start.
    if (this.#plan.victim === "emulated host") {
      await mustRun(HOST, [], { environment: { ...process.env, ...HOST_ENVIRONMENT } }).catch((error: unknown) =>
        problems.push(`another host did not start: ${(error as Error).message}`),
      );
    }
    rmSync(this.#directory, { recursive: true, force: true });
    return problems;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
