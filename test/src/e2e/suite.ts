/** Cases, the context that they run on, and the account of how they went. */
import type { CriClient } from "../cri/client.ts";
import type { Holdings } from "../leaks/compare.ts";
import type { HoldingsScope } from "../leaks/holdings.ts";
import { takeHoldings, waitForNothingLeft } from "../leaks/holdings.ts";
import { NOTHING_LEFT_MS } from "../support/guest-kind.ts";
import { SHIM_PROGRAM } from "../support/programs.ts";
import type { Containerd, PodForm } from "./containerd.ts";
import type { Images } from "./images.ts";
import type { SandboxerProcess } from "./sandboxer.ts";

export interface Runtime {
  readonly key: "lcow" | "runc";
  /** As ctr's --runtime takes it. */
  readonly name: string;
  /** The name of the shim's executable. */
  readonly program: string;
  /** What the command line of its serving process contains. */
  readonly serving: string;
}

export const RUNTIMES: { readonly [key in Runtime["key"]]: Runtime } = {
  lcow: { key: "lcow", name: "io.containerd.lcow.v2", program: SHIM_PROGRAM, serving: "shim-lcow.cjs" },
  runc: { key: "runc", name: "io.containerd.runc.v2", program: "containerd-shim-runc-v2", serving: "shim-runc-v2" },
};

export interface CaseContext {
  readonly containerd: Containerd;
  readonly runtime: Runtime;
  readonly images: Images;
  /** For files of the cases' own; not looked at for leaks. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  /** An id that no case had before. */
  readonly newId: (stem: string) => string;
  /** Flags of ctr by which each container joins a VM that is there. */
  readonly joining?: readonly string[];
  /** Present where it serves the pods. */
  readonly sandboxer?: SandboxerProcess;
}

/** The context of cases that speak Kubernetes' runtime interface. */
export interface CriCaseContext extends CaseContext {
  readonly cri: CriClient;
  /** That this containerd has with this runtime; the first is that of cases that do not choose. */
  readonly forms: readonly [PodForm, ...PodForm[]];
}

export interface Case<G extends CaseContext = CaseContext> {
  readonly name: string;
  /** Where the case means something; everywhere when absent. */
  readonly applies?: (context: G) => boolean;
  readonly run: (context: G) => Promise<void>;
}

/** The cases that this run leaves out, with their reasons; or runs, to see whether these are stale. */
export interface Exceptions {
  readonly reasonAgainst: (name: string) => string | undefined;
  readonly areTried: boolean;
}

const NO_EXCEPTIONS: Exceptions = { reasonAgainst: () => undefined, areTried: false };

export class Report {
  passed = 0;
  readonly failures: string[] = [];
  readonly #print: (line: string) => void;
  readonly #signal: AbortSignal;
  readonly #exceptions: Exceptions;

  constructor(print: (line: string) => void, signal: AbortSignal, exceptions = NO_EXCEPTIONS) {
    this.#print = print;
    this.#signal = signal;
    this.#exceptions = exceptions;
  }

  /** Runs a case and counts it; `explain` gives what helps to understand a failure. Returns whether it left all in order. */
  async run(name: string, work: () => Promise<void>, explain: () => string): Promise<boolean> {
    const { reasonAgainst, areTried } = this.#exceptions;
    const reason = reasonAgainst(name);
    if (reason !== undefined && !areTried) {
      this.#print(`  left out  ${name}: ${reason}`);
      return true;
    }
    const started = performance.now();
    const seconds = (): string => `(${((performance.now() - started) / 1000).toFixed(2)} s)`;
    try {
      await work();
    } catch (error) {
      // What an interruption breaks says nothing about the case.
      if (this.#signal.aborted) return false;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (reason === undefined) this.fail(`${name} ${seconds()}`, `${text}\n${explain()}`, name);
      else this.#pass(`${name} is rightly left out ${seconds()}: ${text.split("\n", 1)}`);
      return false;
    }
    if (reason === undefined) this.#pass(`${name} ${seconds()}`);
    else this.fail(`stale reason: ${name} passes ${seconds()}`, reason);
    return true;
  }

  /** Counts a failure, with what explains it. */
  fail(what: string, explanation: string, name = what): void {
    this.failures.push(name);
    this.#print(`  FAIL  ${what}`);
    this.#print(indent(explanation));
  }

  #pass(what: string): void {
    this.passed += 1;
    this.#print(`  ok    ${what}`);
  }
}

/** Runs some work and fails when it leaves something behind; what the work itself failed with comes first. */
export async function leavingNothing(
  scope: HoldingsScope,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  const before: Holdings = await takeHoldings(scope);
  const failure = await work().then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  if (failure !== undefined) throw failure.error;
  const left = await waitForNothingLeft(before, scope, NOTHING_LEFT_MS, signal);
  if (left.length > 0)
    throw new Error(`the machine differs from before, ${NOTHING_LEFT_MS} ms after the end:\n${left.join("\n")}`);
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "        ");
}
