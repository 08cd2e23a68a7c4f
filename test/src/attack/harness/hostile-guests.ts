/** Runs modes of the hostile guest: those that keep a processor busy alone, the others some at a time. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { buildSync } from "esbuild";
import { takeHoldings } from "../../leaks/holdings.ts";
import { shimScope } from "../../leaks/shim-scope.ts";
import { HOST_ENVIRONMENT } from "../../support/programs.ts";
import type { Mode } from "../modes/mode.ts";
import { seedFor } from "../random.ts";
import { timing } from "./bounds.ts";
import { leftOver } from "./leftovers.ts";
import { type ModeResult, ModeRun } from "./run-mode.ts";

export interface HostileGuestsOptions {
  readonly directory: string;
  readonly seed: number;
  readonly floodMs: number;
  /** How many modes that do not keep a processor busy run at a time. */
  readonly together: number;
  readonly signal: AbortSignal;
  readonly report: (result: ModeResult) => void;
}

export class HostileGuests {
  readonly #options: HostileGuestsOptions;
  readonly #program: string;
  readonly #rootfs: string;
  #pods = 0;

  private constructor(options: HostileGuestsOptions, program: string, rootfs: string) {
    this.#options = options;
    this.#program = program;
    this.#rootfs = rootfs;
  }

  static async prepare(options: HostileGuestsOptions): Promise<HostileGuests> {
    const program = join(options.directory, "hostile-guest.cjs");
    buildSync({
      entryPoints: [join(import.meta.dirname, "..", "guest", "main.ts")],
      ...{ bundle: true, platform: "node", format: "cjs", outfile: program, logLevel: "silent" },
    });
    const rootfs = join(options.directory, "rootfs");
    mkdirSync(rootfs);
    await makeRootfs(rootfs);
    return new HostileGuests(options, program, rootfs);
  }

  async run(modes: readonly Mode[]): Promise<readonly ModeResult[]> {
    const { together, signal, report } = this.#options;
    const results: ModeResult[] = [];
    for (const batch of batchesOf(modes, together)) {
      signal.throwIfAborted();
      for (const result of await this.#runBatch(batch)) {
        const isLate = result.problems.some((problem) => problem.includes(timing));
        // What took long is measured once more, alone.
        const judged = isLate ? await this.#runAlone(result.mode, batch) : result;
        results.push(judged);
        report(judged);
      }
    }
    return results;
  }

  async #runAlone(name: string, batch: readonly Mode[]): Promise<ModeResult> {
    const [result] = await this.#runBatch(batch.filter((mode) => mode.name === name));
    if (result === undefined) throw new Error(`the mode ${name} was not run`);
    return result;
  }

  async #runBatch(batch: readonly Mode[]): Promise<readonly ModeResult[]> {
    const { directory, signal } = this.#options;
    const before = await takeHoldings(shimScope([directory]));
    const runs = batch.map((mode) => this.#newRun(mode));
    const results = await Promise.all(runs.map(({ run }) => run.run()));
    const left = await leftOver(before, directory, signal);
    return results.map((result, index) => {
      const id = runs[index]?.id ?? "";
      // What no pod's name is in may be of any of them.
      const own = left.filter((line) => line.includes(id) || !runs.some((other) => line.includes(other.id)));
      return { ...result, problems: [...result.problems, ...own] };
    });
  }

  #newRun(mode: Mode): { readonly id: string; readonly run: ModeRun } {
    const { directory, seed, floodMs } = this.#options;
    this.#pods += 1;
    const id = `pod-${this.#pods}-${mode.name}`;
    const run = new ModeRun(mode, {
      ...{ id, directory: join(directory, `${this.#pods}`), program: this.#program, rootfs: this.#rootfs },
      orders: { mode: mode.name, seed: seedFor(seed, mode.name), floodMs },
      environment: HOST_ENVIRONMENT,
    });
    return { id, run };
  }
}

function batchesOf(modes: readonly Mode[], together: number): readonly (readonly Mode[])[] {
  const batches: Mode[][] = [];
  let idle: Mode[] = [];
  for (const mode of modes) {
    if (mode.busy) batches.push([mode]);
    else {
      idle.push(mode);
      if (idle.length === together) {
        batches.push(idle);
        idle = [];
      }
    }
  }
  if (idle.length > 0) batches.push(idle);
  return batches;
}
