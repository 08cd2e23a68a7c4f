import type { Cause, Finding } from "./cause.ts";
import { type Evidence, type Pending, processWait, proofOf, socketProof, textOf } from "./evidence.ts";
import type { Proof, ShimProcess } from "./types.ts";

/** A request that takes longer than this hangs. */
const patienceMilliseconds = 10_000;

/** What a pod waits for that seems to hang. */
export const hangs: readonly Cause[] = [
  {
    code: "shim-silent",
    title: "The shim runs, and answers nothing.",
    advice:
      "Look at the state of its process in the evidence: one that is stopped goes on by SIGCONT. Else end it; containerd then removes the pod.",
    find: (evidence) =>
      silent(evidence, "no answer", (pid) => `The shim of the pod (pid ${pid}) runs, and does not answer.`),
  },
  {
    code: "shim-unreachable",
    title: "The shim runs, and nothing serves its socket.",
    advice:
      "Something removed the socket, such as a cleaner of old files: containerd does not reach the pod either. End the shim's process; containerd then removes the pod.",
    find: (evidence) =>
      silent(
        evidence,
        "not served",
        (pid, socket) => `The shim of the pod (pid ${pid}) runs, and nothing serves its socket ${socket}.`,
      ),
  },
  hang({
    code: "guest-not-dialled",
    title: "The VM runs, and its guest has not connected to the shim.",
    advice: "Look at the guest's console: a kernel without hvsockets, or an init that fails, boots and never dials.",
    of: ({ innermost }) => innermost.began.name === "waiting for the guest to dial in",
    sentence: ({ request }, seconds) =>
      `${begun(request.began.name)} has waited for ${seconds} s for the guest of the VM to dial the shim, which it has not done.`,
  }),
  hang({
    code: "guest-silent",
    title: "The guest does not answer.",
    advice: "`uvm-diag stacks` shows where the guest stands, if it still answers that; else the VM has to be ended.",
    of: ({ innermost }) => innermost.began.kind === "guest-request",
    sentence: unanswered("guest"),
  }),
  hang({
    code: "host-silent",
    title: "The host compute service does not answer.",
    advice: "Look at the log of the host service, and restart it if it hangs.",
    of: ({ innermost }) => innermost.began.kind === "host-call",
    sentence: unanswered("host compute service"),
    proofs: (evidence) => socketProof(evidence, "hostSocket"),
  }),
  hang({
    code: "request-hangs",
    title: "A request of the client hangs in the shim.",
    advice: "`uvm-diag state` and `uvm-diag stacks` show what it waits for.",
    of: () => true,
    sentence: ({ request, innermost }, seconds) =>
      `${begun(request.began.name)} has waited for ${seconds} s${innermost === request ? "" : `, in ${innermost.began.name}`}.`,
  }),
  {
    code: "output-unread",
    title: "A process has ended, and its client reads nothing of its last output.",
    advice:
      "Look at the client (containerd's log reader, ctr, a logging program): it holds the pipe and does not read.",
    find: (evidence) => {
      if (evidence.isDead || evidence.hasEnded) return undefined;
      for (const { began, ended } of evidence.works) {
        if (began.name !== processWait || ended === undefined || ended.error !== undefined) continue;
        if (evidence.hasGapAfter(ended.seq)) continue;
        const container = String(began.attributes?.container);
        const seconds = secondsSince(evidence, ended.time);
        if (seconds * 1000 < patienceMilliseconds || hasExited(evidence, container, ended.seq)) continue;
        const sentence = `A process of container ${container} ended ${seconds} s ago, and its exit waits for the client, which does not read its output.`;
        return { sentence, evidence: [proofOf(began), proofOf(ended)], at: ended.time };
      }
      return undefined;
    },
  },
];

/** A shim that was asked and said nothing. One that has just begun, or has ended the pod, may. */
function silent(
  evidence: Evidence,
  silence: ShimProcess["silence"],
  sentence: (pid: number, socket: string) => string,
): Finding | undefined {
  const { header, input, served } = evidence;
  const last = served.at(-1);
  if (input.process.silence !== silence || header === undefined || last === undefined || evidence.hasEnded)
    return undefined;
  if (secondsSince(evidence, header.time) * 1000 < patienceMilliseconds) return undefined;
  const state = input.facts?.processState;
  const proofs = [
    ...(state === undefined ? [] : [{ text: `process ${header.pid} ${state}` }]),
    { at: last.time, text: `its last line: ${textOf(last)}` },
  ];
  return { sentence: sentence(header.pid, header.socket), evidence: proofs, at: last.time };
}

interface Hang extends Omit<Cause, "find"> {
  readonly of: (pending: Pending) => boolean;
  readonly sentence: (pending: Pending, seconds: number) => string;
  readonly proofs?: (evidence: Evidence) => readonly Proof[];
}

function hang({ code, title, advice, of, sentence, proofs }: Hang): Cause {
  return {
    ...{ code, title, advice },
    find: (evidence): Finding | undefined => {
      const pending = evidence.pending.find((one) => one.milliseconds >= patienceMilliseconds && of(one));
      if (pending === undefined) return undefined;
      const { request, innermost } = pending;
      const works = innermost === request ? [request] : [request, innermost];
      const all = [...works.map(({ began }) => proofOf(began)), ...(proofs?.(evidence) ?? [])];
      const seconds = Math.floor(pending.milliseconds / 1000);
      return { sentence: sentence(pending, seconds), evidence: all, at: request.began.time };
    },
  };
}

function unanswered(who: string): Hang["sentence"] {
  return ({ request, innermost }, seconds) =>
    `The ${who} has not answered ${innermost.began.name} for ${seconds} s, on which ${begun(request.began.name)} waits.`;
}

function begun(request: string): string {
  return request.replace(/^\w+\//, "");
}

function hasExited(evidence: Evidence, container: string, after: number): boolean {
  return evidence
    .occurrences("process exited")
    .some(({ seq, attributes }) => seq > after && String(attributes?.id).split("/")[0] === container);
}

export function secondsSince({ until }: Evidence, time: string): number {
  return Math.max(0, Math.floor((until.getTime() - Date.parse(time)) / 1000));
}
