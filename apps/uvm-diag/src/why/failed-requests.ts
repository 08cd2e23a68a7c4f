import type { Cause, Finding } from "./cause.ts";
import { type Evidence, type Failure, proofOf } from "./evidence.ts";
import type { Proof } from "./types.ts";

interface Rule {
  readonly code: string;
  readonly title: string;
  readonly advice: string;
  /** Of the error's message; its first group may be quoted by `because`. */
  readonly message: RegExp;
  readonly errorCode?: RegExp;
  /** The work in which the error arose. */
  readonly origin?: (failure: Failure) => boolean;
  /** Completes "Container c1 was not created: …". */
  readonly because: (match: RegExpExecArray) => string;
  readonly facts?: (evidence: Evidence, match: RegExpExecArray) => readonly Proof[];
}

/** A cause that shows in the error of a request. */
export interface FailureCause extends Omit<Cause, "find"> {
  explain(failure: Failure, evidence: Evidence): Finding | undefined;
}

export function failedRequest(rule: Rule): FailureCause {
  const { code, title, advice } = rule;
  return {
    ...{ code, title, advice },
    explain: (failure, evidence) => {
      const match = matchOf(rule, failure);
      if (match === undefined) return undefined;
      const sentence = `${subjectOf(failure)}: ${rule.because(match)}.`;
      const proofs = [...proofsOf(failure), ...(rule.facts?.(evidence, match) ?? [])];
      return { sentence, evidence: proofs, at: failure.at };
    },
  };
}

function matchOf(rule: Rule, failure: Failure): RegExpExecArray | undefined {
  if (rule.origin !== undefined && !rule.origin(failure)) return undefined;
  for (const { ended } of [failure.origin, failure.request]) {
    const error = ended?.error;
    if (error === undefined || (rule.errorCode !== undefined && !rule.errorCode.test(error.code))) continue;
    const match = rule.message.exec(withoutMiddle(error.message));
    if (match !== null) return match;
  }
  return undefined;
}

/** What is looked for in a message takes the square of its length. What was asked for is at its beginning, the cause at its end. */
const longestPart = 750;

function withoutMiddle(message: string): string {
  if (message.length <= 2 * longestPart) return message;
  return `${message.slice(0, longestPart)} … ${message.slice(-longestPart)}`;
}

/** Where the error arose, and what became of the request. */
export function proofsOf({ request, origin }: Failure): readonly Proof[] {
  const works = origin === request ? [request] : [origin, request];
  return works.flatMap(({ ended }) => (ended === undefined ? [] : [proofOf(ended)]));
}

/** What the client asked for, and did not get. */
export function subjectOf({ request }: Failure): string {
  const { name, attributes = {} } = request.began;
  const container = `container ${String(attributes.container_id ?? "")}`;
  const named = `Container ${String(attributes.container_id ?? "")}`;
  const exec = attributes.exec_id;
  switch (name) {
    case "start":
      return "The shim did not start";
    case "Sandbox/CreateSandbox":
      return "The pod's VM was not created";
    case "Sandbox/StartSandbox":
      return "The pod's VM did not start";
    case "Task/Create":
      return `${named} was not created`;
    case "Task/Exec":
      return `Exec ${String(exec)} in ${container} was refused`;
    case "Task/Start":
      return exec === undefined ? `${named} did not start` : `Exec ${String(exec)} in ${container} did not start`;
    default:
      return `${name}${attributes.container_id === undefined ? "" : ` of ${container}`} failed`;
  }
}

/** A message without the codes of Windows at its end. */
export function shortened(text: string): string {
  const sentence = text.replace(/(?:: | \[)?(?:E_|HCS_|ERROR_|HCN_)[A-Z_]+ \(0x[0-9a-f]+\)\]?/g, "").trim();
  return sentence.length <= 300 ? sentence : `${sentence.slice(0, 300)}…`;
}
