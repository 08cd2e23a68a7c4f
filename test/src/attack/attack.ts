import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { describeCounts } from "../../../tools/counts.ts";
import type { Isolation } from "../support/isolate.ts";
import type { AttackArguments } from "./arguments.ts";
import { runChaos } from "./chaos/run-chaos.ts";
import { type Measures, measuresOf } from "./extent.ts";
import { type FuzzedDecoder, Fuzzers } from "./fuzz/fuzzers.ts";
import { subjects } from "./fuzz/subjects/index.ts";
import { HostileGuests } from "./harness/hostile-guests.ts";
import type { ModeResult } from "./harness/run-mode.ts";
import { limitCases, runLimit } from "./limits/cases.ts";
import { modes } from "./modes/index.ts";
import { chosen } from "./random.ts";

/** How many modes that do not keep a processor busy are run at a time. */
const together = 4;

export class Attack {
  readonly #arguments: AttackArguments;
  readonly #isolated: Isolation;
  #passed = 0;
  #failed = 0;

  constructor(args: AttackArguments, isolated: Isolation) {
    this.#arguments = args;
    this.#isolated = isolated;
  }

  /** Whether all went well. */
  async run(): Promise<boolean> {
    const { extent, seed } = this.#arguments;
    const end = performance.now() + (extent.kind === "long" ? extent.milliseconds : 0);
    const measures = measuresOf(extent);
    let round = 0;
    do {
      if (extent.kind === "long") print(`round of seed ${seed + round}`);
      await this.#round(seed + round, measures, round, end);
      round += 1;
    } while (performance.now() < end);
    print(describeCounts({ passed: this.#passed, failed: this.#failed }));
    return this.#failed === 0;
  }

  async #round(seed: number, measures: Measures, round: number, end: number): Promise<void> {
    const directory = join(this.#isolated.directory, `${round}`);
    const rootfs = join(this.#isolated.directory, `rootfs-${round}`);
    for (const folder of [directory, rootfs]) mkdirSync(folder);
    await makeRootfs(rootfs);
    await this.#guests(seed, measures, directory);
    await this.#limits(seed, measures, directory, rootfs);
    await this.#chaos(seed, measures, directory, rootfs);
    await this.#fuzz(seed, measures, directory, end);
  }

  async #guests(seed: number, { guests, floodMs }: Measures, directory: string): Promise<void> {
    const matching = modes.filter(({ name }) => this.#isChosen(`guest ${name}`));
    if (matching.length === 0) return;
    const { signal } = this.#isolated;
    const hostile = await HostileGuests.prepare({
      ...{ directory, seed, floodMs, together, signal },
      report: (result) => this.#report(`guest ${result.mode}`, describeGuest(result), result.problems),
    });
    await hostile.run(chosen(matching, guests, seed));
  }

  async #limits(seed: number, { limits }: Measures, directory: string, rootfs: string): Promise<void> {
    const { signal } = this.#isolated;
    for (const limit of chosen(limitCases, limits, seed)) {
      if (!this.#isChosen(`limit ${limit.name}`)) continue;
      const { problems } = await runLimit(limit, { directory, rootfs, signal });
      this.#report(`limit ${limit.name}`, "", problems);
    }
  }

  async #chaos(seed: number, { kills }: Measures, directory: string, rootfs: string): Promise<void> {
    const { signal } = this.#isolated;
    for (let own = seed * 1_000; own < seed * 1_000 + kills; own += 1) {
      if (!this.#isChosen(`chaos ${own}`)) continue;
      signal.throwIfAborted();
      const { plan, problems, struck } = await runChaos(own, { directory, rootfs, signal });
      const when = `at call ${plan.call} and ${plan.delayMs.toFixed(0)} ms`;
      this.#report(`chaos ${own}`, `the ${plan.victim} ${struck ? "was killed" : "had ended"} ${when}`, problems);
    }
  }

  async #fuzz(seed: number, { cases, fuzzMs, exploreMs }: Measures, directory: string, end: number): Promise<void> {
    const decoders = subjects.map(({ name }) => name).filter((name) => this.#isChosen(`fuzz ${name}`));
    if (decoders.length === 0) return;
    const isLong = this.#arguments.extent.kind === "long";
    const atATime = availableParallelism();
    const share = (left: number) => {
      // What a decoder did not need of a long run is divided among those after it.
      const milliseconds = isLong ? Math.max(1_000, ((end - performance.now()) * atATime) / left) : fuzzMs;
      return { milliseconds, exploreMs: Math.min(exploreMs, milliseconds / 4) };
    };
    await Fuzzers.prepare({
      ...{ directory, seed, cases, share, together: atATime },
      signal: this.#isolated.signal,
      report: (result) => this.#report(`fuzz ${result.decoder}`, describeFuzzed(result), result.problems),
    }).run(decoders);
  }

  #isChosen(name: string): boolean {
    return this.#arguments.only.test(name);
  }

  #report(name: string, figures: string, problems: readonly string[]): void {
    const isWell = problems.length === 0;
    if (isWell) this.#passed += 1;
    else this.#failed += 1;
    print(`${isWell ? "passed" : "FAILED"} ${name}${figures === "" ? "" : `: ${figures}`}`);
    for (const problem of problems) print(`  ${problem}`);
    if (isWell) return;
    const { kind } = this.#arguments.extent;
    const extent = kind === "whole" ? "" : `--${kind} `;
    print(`  repeat it: npm run attack -- ${extent}--seed ${this.#arguments.seed} --only '^${name}$'`);
  }
}

/** What is quoted of a guest may be anything, and must not reach a terminal unescaped. */
function print(line: string): void {
  const shown = line.replace(/[^\n\x20-\x7e]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  process.stdout.write(`${shown}\n`);
}

function describeGuest({ figures }: ModeResult): string {
  const { memoryMiB, stateMs, deleteMs, killMs, removeMs, logBytesPerMinute, events } = figures;
  return [
    `${memoryMiB.toFixed(0)} MiB`,
    `State ${stateMs.toFixed(0)} ms`,
    `Delete ${deleteMs.toFixed(0)} ms`,
    ...(killMs > 0 ? [`killed ${killMs.toFixed(0)} ms`] : []),
    `removed ${removeMs.toFixed(0)} ms`,
    `log ${(logBytesPerMinute / 1000).toFixed(0)} kB a minute`,
    `${events} events`,
  ].join(", ");
}

function describeFuzzed({ cases, longestMs, memoryMiB, learned }: FuzzedDecoder): string {
  const own = learned > 0 ? `, ${learned} learned` : "";
  return `${cases} cases, the longest ${longestMs.toFixed(0)} ms, ${memoryMiB.toFixed(0)} MiB${own}`;
}
