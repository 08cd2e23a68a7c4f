import {
  type Call,
  Callers,
  type FaultCase,
  faultCases,
  ManualClock,
  ScriptedCalls,
  scriptedError,
  silentCases,
} from "@uvm-shim/lifecycle/testing";
import { isGuestRequest } from "./guest-requests.ts";
import type { Scenario } from "./scenario.ts";

/** One run of a scenario, with at most one fault. */
export interface Run {
  readonly fault: FaultCase | undefined;
  /** The calls that reached host and guest. */
  readonly calls: readonly string[];
  /** Why it is not as it has to be; empty when it is. */
  readonly problems: readonly string[];
}

export interface ScenarioResult {
  readonly scenario: Scenario;
  /** How many calls reach host and guest when none fails. */
  readonly calls: number;
  /** How many of them ask something of a guest. */
  readonly guestRequests: number;
  /** The run without a fault, then one for each fault at each call. */
  readonly runs: readonly Run[];
}

/** How often clean-up is attempted: the one fault strikes once, and an attempt may join one that is under way. */
const cleanUpRounds = 4;
/** Turns of the event loop in which everything happens that waits for nothing but its turn. */
const turnsAtRest = 5;
/** How many times time may pass, or a late answer arrive, until nothing more is expected. */
const patience = 60;
/** What guests' faces allow for a request, about. */
const boundMs = 60_000;

/** Which of a scenario's failures are run: those that every call can meet, or the silence of guests. */
export type FaultKind = "any call" | "silent guest";

/** Runs the scenario without a fault, and then with every fault of these kinds at every call that can meet it. */
export async function runScenario(
  scenario: Scenario,
  kinds: readonly FaultKind[] = ["any call", "silent guest"],
): Promise<ScenarioResult> {
  const faultless = await runOnce(scenario, undefined);
  const calls = faultless.calls.length;
  const requests = [...faultless.calls.keys()].filter((call) =>
    isGuestRequest(scenario.controller, faultless.calls[call] ?? ""),
  );
  const runs = [faultless];
  const cases = { "any call": faultCases(calls), "silent guest": silentCases(requests) };
  for (const fault of kinds.flatMap((kind) => cases[kind])) runs.push(await runOnce(scenario, fault));
  return { scenario, calls, guestRequests: requests.length, runs };
}

async function runOnce(scenario: Scenario, fault: FaultCase | undefined): Promise<Run> {
  const callers = new Callers();
  const clock = new ManualClock();
  const faults = new Map(fault === undefined ? [] : [[fault.call, fault.fault]]);
  const bound = async ({ name, detail }: Call, isSettled: AbortSignal): Promise<never> => {
    await clock.delay(boundMs, isSettled);
    throw scriptedError("DeadlineExceeded", `${name} ${detail}: not answered within ${boundMs} ms`);
  };
  const script = new ScriptedCalls(faults, () => callers.abortAll(), scenario.hasBounds ? undefined : bound);
  const problems: string[] = [];
  const play = await scenario.begin({ script, callers, clock });
  const finish = async (what: string, work: Promise<void>): Promise<unknown> => {
    try {
      // A silent guest says nothing, however long anybody waits; a host's calls may come to their end.
      await settled(work, clock, isSilent(fault) ? undefined : script);
      return undefined;
    } catch (error) {
      if (error === stillPending) problems.push(`${what} is left pending`);
      return error;
    }
  };

  const thrown = await finish("the scenario", play.act());
  if (thrown !== undefined && thrown !== stillPending) problems.push(`the scenario threw ${String(thrown)}`);
  if (fault === undefined) {
    problems.push(...callers.failures.map((failure) => `failed without a fault: ${String(failure)}`));
    if (script.calls.length === 0) problems.push("no call reached host or guest");
  }

  let failure: unknown = stillPending;
  for (let round = 0; round < cleanUpRounds && failure !== undefined; round++) {
    failure = await finish("the clean-up", play.cleanUp());
  }
  if (failure !== undefined) problems.push(`the clean-up fails again and again: ${String(failure)}`);
  // Who made these calls has gone; what they bring now must be given back too.
  script.answerLate();
  await rest();
  if (fault !== undefined && script.calls.length <= fault.call) problems.push("the fault never struck");
  if (callers.active > 0) problems.push(`${callers.active} operations are left pending`);
  if (script.hanging > 0) problems.push(`${script.hanging} calls are left pending`);
  if (clock.sleepers > 0) problems.push(`${clock.sleepers} wait for time to pass`);
  problems.push(...play.leftovers().map((left) => `left over: ${left}`));
  return { fault, calls: script.calls.map(({ name, detail }) => `${name} ${detail}`.trim()), problems };
}

const columnWidth = 16;
const stillPending = new Error("the promise is still pending after all time limits and late answers");

function isSilent(fault: FaultCase | undefined): boolean {
  return fault?.fault === "silent" || fault?.fault === "silentDone";
}

/** The outcome of the work. When nothing more happens by itself time passes, and at last calls are answered late. */
async function settled(work: Promise<void>, clock: ManualClock, script: ScriptedCalls | undefined): Promise<void> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  done.catch(() => {});
  for (let attempt = 0; attempt < patience; attempt++) {
    await rest();
    if (isDone) return await done;
    if (clock.sleepers > 0) clock.jumpToNext();
    else script?.answerLate();
  }
  throw stillPending;
}

async function rest(): Promise<void> {
  for (let turn = 0; turn < turnsAtRest; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** One line for each controller: its scenarios, the calls of these, the failure points that were run, what went wrong. */
export function summary(results: readonly ScenarioResult[]): string {
  const controllers = [...new Set(results.map(({ scenario }) => scenario.controller))];
  const row = (name: string, of: readonly ScenarioResult[]): string => {
    const runs = of.flatMap((result) => result.runs);
    const points = runs.filter(({ fault }) => fault !== undefined).length;
    const bad = runs.filter(({ problems }) => problems.length > 0).length;
    const calls = of.reduce((sum, result) => sum + result.calls, 0);
    const columns = [of.length, calls, points, bad].map((number) => `${number}`.padStart(columnWidth));
    return `${name.padEnd(22)}${columns.join("")}`;
  };
  const head = ["scenarios", "calls", "failure points", "not clean"]
    .map((title) => title.padStart(columnWidth))
    .join("");
  return [
    `${"controller".padEnd(22)}${head}`,
    ...controllers.map((name) =>
      row(
        name,
        results.filter(({ scenario }) => scenario.controller === name),
      ),
    ),
    row("all", results),
  ].join("\n");
}

/** What went wrong, run by run. */
export function problemsOf(results: readonly ScenarioResult[]): readonly string[] {
  return results.flatMap(({ scenario, runs }) =>
    runs.flatMap(({ fault, calls, problems }) => {
      const where = fault === undefined ? "no fault" : `${fault.fault} at call ${fault.call} (${calls[fault.call]})`;
      return problems.map((problem) => `${scenario.controller}, ${scenario.name}, ${where}: ${problem}`);
    }),
  );
}
