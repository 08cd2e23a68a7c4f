/** Runs the fuzzers of decoders, each in a process of its own. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { buildSync } from "esbuild";
import { cacheFolder } from "../../support/cache.ts";
import type { Fault, FuzzOrders, FuzzReport } from "./types.ts";

export interface FuzzersOptions {
  readonly directory: string;
  readonly seed: number;
  /** For each decoder. */
  readonly cases: number;
  /** How long the next decoder may be fed when so many, with it, are left; and how much of that it may learn for. */
  readonly share: (left: number) => { readonly milliseconds: number; readonly exploreMs: number };
  /** How many decoders are fed at a time. */
  readonly together: number;
  readonly signal: AbortSignal;
  readonly report: (result: FuzzedDecoder) => void;
}

export interface FuzzedDecoder {
  readonly decoder: string;
  readonly problems: readonly string[];
  readonly cases: number;
  readonly longestMs: number;
  readonly memoryMiB: number;
  readonly learned: number;
}

/** Of a decoder's process. */
const mostMemoryMiB = 400;
const graceMs = 60_000;
const corpusFolder = join(import.meta.dirname, "corpus");

export class Fuzzers {
  readonly #options: FuzzersOptions;
  readonly #program: string;

  private constructor(options: FuzzersOptions, program: string) {
    this.#options = options;
    this.#program = program;
  }

  /** Bundles the fuzzers, which then start in a fraction of the time. */
  static prepare(options: FuzzersOptions): Fuzzers {
    const folder = join(options.directory, "fuzz");
    mkdirSync(join(folder, "node_modules"), { recursive: true });
    for (const name of ["process", "worker"]) {
      buildSync({
        entryPoints: [join(import.meta.dirname, `${name}.ts`)],
        ...{ bundle: true, platform: "node", format: "esm", target: "node26", keepNames: true, logLevel: "silent" },
        external: ["koffi"],
        // The process looks for the worker by this name.
        outfile: join(folder, `${name}.ts`),
        banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
      });
    }
    const koffi = realpathSync(join(import.meta.dirname, "../../../../packages/linux-calls/node_modules/koffi"));
    symlinkSync(koffi, join(folder, "node_modules", "koffi"));
    return new Fuzzers(options, join(folder, "process.ts"));
  }

  async run(decoders: readonly string[]): Promise<void> {
    const left = [...decoders];
    const feedTheNext = async (): Promise<void> => {
      for (let decoder = left.shift(); decoder !== undefined; decoder = left.shift()) {
        this.#options.signal.throwIfAborted();
        this.#options.report(await this.#fuzz(decoder, left.length + 1));
      }
    };
    await Promise.all(Array.from({ length: this.#options.together }, feedTheNext));
  }

  async #fuzz(decoder: string, left: number): Promise<FuzzedDecoder> {
    const { directory, seed, cases, share, signal } = this.#options;
    const { milliseconds, exploreMs } = share(left);
    const orders: FuzzOrders = {
      ...{ subject: decoder, seed, cases, milliseconds, exploreMs },
      corpus: corpusOf(decoder).map((file) => readFileSync(file, "base64")),
    };
    const result = await runCommand(process.execPath, [this.#program, JSON.stringify(orders)], {
      ...{ timeoutMs: milliseconds + exploreMs + graceMs, signal },
      environment: { ...process.env, TMPDIR: directory },
    });
    if (result.status !== 0) {
      const problem = `its process ended with ${result.status}: ${result.stderr.slice(-2_000)}`;
      return { decoder, problems: [problem], cases: 0, longestMs: 0, memoryMiB: 0, learned: 0 };
    }
    const { faults, ...figures } = JSON.parse(result.stdout.toString("utf8")) as FuzzReport;
    const problems = faults.map((fault) => describeFault(decoder, fault));
    if (figures.memoryMiB > mostMemoryMiB) {
      problems.push(`its process had ${figures.memoryMiB.toFixed(0)} MiB resident, at most ${mostMemoryMiB} may be`);
    }
    return { decoder, problems, ...figures };
  }
}

/** The files with what was found in a decoder once. */
function corpusOf(decoder: string): readonly string[] {
  const folder = join(corpusFolder, decoder);
  return existsSync(folder)
    ? readdirSync(folder)
        .sort()
        .map((name) => join(folder, name))
    : [];
}

/** Keeps the input, so that it can be fed again, and be put into the corpus. */
function describeFault(decoder: string, { number, problem, input }: Fault): string {
  if (input === "") return `case ${number} ${problem}`;
  const bytes = Buffer.from(input, "base64");
  const file = join(
    cacheFolder("attack"),
    `${decoder}-${createHash("sha256").update(bytes).digest("hex").slice(0, 12)}`,
  );
  writeFileSync(file, bytes);
  return `case ${number} ${problem}\n  its input: ${file}; again: npm run attack -- --feed ${decoder} --input ${file}`;
}
