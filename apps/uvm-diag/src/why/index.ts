import type { Cause, Finding } from "./cause.ts";
import { diedAtBoot, ends } from "./ends.ts";
import { Evidence, type Failure, type Work } from "./evidence.ts";
import { proofsOf, subjectOf } from "./failed-requests.ts";
import { hangs } from "./hangs.ts";
import { troubles } from "./troubles.ts";
import type { Verdict, WhyInput } from "./types.ts";
import { wrongRequests } from "./wrong-requests.ts";

export { gatherFacts, type Machine, type MachineFacts } from "./facts.ts";
export type { Proof, Verdict, WhyInput } from "./types.ts";

/** All that `why` can name, in the order of their weight. */
export const causes: readonly Omit<Cause, "find">[] = [...ends, ...hangs, ...wrongRequests, ...troubles];

/** What is wrong with a pod, the most likely first; empty if nothing was found. */
export function why(input: WhyInput): readonly Verdict[] {
  const evidence = new Evidence(input);
  const explained = explainedFailures(evidence);
  // A host that does not start a VM says also that the VM has ended.
  const hasNotStarted = explained.some(({ failure: { origin } }) => isStartOfVm(origin));
  const found = [
    ...verdictsOf(ends, evidence).filter(({ cause }) => !hasNotStarted || cause !== diedAtBoot),
    ...verdictsOf(hangs, evidence).slice(0, 1),
    ...explained.map(({ verdict }) => verdict),
    ...verdictsOf(troubles, evidence),
  ];
  return found.length > 0 ? found : unexplainedFailure(evidence);
}

function isStartOfVm({ began: { kind, name } }: Work): boolean {
  return kind === "host-call" && name === "start";
}

function verdictsOf(group: readonly Cause[], evidence: Evidence): readonly Verdict[] {
  return group.flatMap((cause) => {
    const finding = cause.find(evidence);
    return finding === undefined ? [] : [verdictOf(cause, finding)];
  });
}

function verdictOf({ code, advice }: Omit<Cause, "find">, { sentence, evidence }: Finding): Verdict {
  return { cause: code, sentence, evidence, advice };
}

/** Earlier failures are not looked at. */
const mostFailures = 100;

/** Each cause once, by the last failure that it explains. */
function explainedFailures(evidence: Evidence): readonly { readonly failure: Failure; readonly verdict: Verdict }[] {
  const verdicts = new Map<string, { readonly failure: Failure; readonly verdict: Verdict }>();
  for (const failure of evidence.failures.slice(0, mostFailures)) {
    for (const cause of wrongRequests) {
      const finding = cause.explain(failure, evidence);
      if (finding === undefined) continue;
      if (!verdicts.has(cause.code)) verdicts.set(cause.code, { failure, verdict: verdictOf(cause, finding) });
      break;
    }
  }
  return [...verdicts.values()];
}

export const unexplained = "unexplained";

/** The last failure of something that the client needed, where no cause is known for it. */
function unexplainedFailure(evidence: Evidence): readonly Verdict[] {
  const [failure] = evidence.failures.filter(
    ({ request }) => request.ended?.error?.code !== "NotFound" || isNeeded(request.began.name),
  );
  if (failure === undefined) return [];
  const message = failure.origin.ended?.error?.message ?? "";
  const sentence = `${subjectOf(failure)}, for a reason that uvm-diag has no name for: ${message}.`;
  const advice = "The record and the log have more: `uvm-diag events` and `uvm-diag logs`.";
  return [{ cause: unexplained, sentence, evidence: proofsOf(failure), advice }];
}

function isNeeded(name: string): boolean {
  return /Create|Start|Exec/.test(name);
}
