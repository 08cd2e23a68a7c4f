import type { Cause, Finding } from "./cause.ts";
import { type Evidence, proofOf, socketProof, textOf } from "./evidence.ts";
import type { Proof } from "./types.ts";

export const diedAtBoot = "guest-died-at-boot";

/** What ended a pod, or its shim, that nobody asked to end. */
export const ends: readonly Cause[] = [
  {
    code: "shim-crashed",
    title: "The shim failed by a fault of its own.",
    advice: "Report it with the record of the pod and panic.log.",
    find: (evidence) => {
      const crash = evidence.last("shim crashed");
      if (crash === undefined) return undefined;
      const sentence = `The shim of the pod crashed: ${String(crash.attributes?.error)}.`;
      return { sentence, evidence: [proofOf(crash), ...panicOf(evidence)], at: crash.time };
    },
  },
  {
    code: "host-service-lost",
    title: "The host compute service ended while it ran the VM.",
    advice:
      "Look at the log of the host service (vmcompute; of the emulated host, emulator.log), and make the pod anew.",
    find: (evidence) => {
      const lost = evidence.last("host service lost");
      if (lost === undefined) return undefined;
      const sentence = "The host compute service was lost while the VM ran, and the VM with it.";
      return { sentence, evidence: [proofOf(lost), ...socketProof(evidence, "hostSocket")], at: lost.time };
    },
  },
  {
    code: diedAtBoot,
    title: "The guest crashed before it was up.",
    advice: "Look at the guest's last words in the evidence, and whether the boot files are whole and for this host.",
    find: (evidence) => crash(evidence, "it booted"),
  },
  {
    code: "guest-crashed",
    title: "The guest crashed while the pod ran.",
    advice: "Look at the guest's last words in the evidence and at its log; a VM that is too small is a usual reason.",
    find: (evidence) => crash(evidence, "the pod ran"),
  },
  {
    code: "shim-killed",
    title: "Something killed the shim.",
    advice: "Look in the kernel's log for an out-of-memory kill, and whether somebody sent SIGKILL.",
    find: (evidence) => {
      const { header, served } = evidence;
      const lost = evidence.last("shim lost", evidence.beside);
      if (
        !evidence.isDead ||
        header?.by !== "serve" ||
        evidence.hasEnded ||
        evidence.last("shim crashed") !== undefined
      )
        return undefined;
      // `delete` ends a shim that still serves, which is containerd's decision.
      if (lost?.attributes?.wasRunning === true) return undefined;
      const last = served.at(-1);
      if (last === undefined) return undefined;
      const what = lost?.attributes?.withSandboxer === true ? "sandboxer that served" : "shim of";
      const sentence = `The ${what} the pod (pid ${header.pid}) was killed: it is gone and has not ended in order.`;
      const proofs = [{ at: last.time, text: `its last line: ${textOf(last)}` }, ...(lost ? [proofOf(lost)] : [])];
      return { sentence, evidence: [...proofs, ...panicOf(evidence)], at: last.time };
    },
  },
];

/** Of the VM. One that went with the host compute service did not end by itself. */
export function unexpectedExit(evidence: Evidence) {
  if (evidence.last("host service lost") !== undefined) return undefined;
  return evidence.occurrences("vm exited").findLast(({ attributes }) => attributes?.isExpected === false);
}

function crash(evidence: Evidence, during: "it booted" | "the pod ran"): Finding | undefined {
  const exit = unexpectedExit(evidence);
  if (exit === undefined || dialledBefore(evidence, exit.seq) !== (during === "the pod ran")) return undefined;
  const sentence = `The guest crashed while ${during}: ${lastWords(exit.attributes?.crash ?? exit.attributes?.reason)}.`;
  return { sentence, evidence: [proofOf(exit), ...logOf(evidence, "guest")], at: exit.time };
}

function dialledBefore(evidence: Evidence, seq: number): boolean {
  return evidence.occurrences("guest dialled").some((line) => line.seq < seq);
}

function panicOf({ input: { panic = "" } }: Evidence): readonly Proof[] {
  return panic === "" ? [] : [{ text: `panic.log: ${panic}` }];
}

const mostLogLines = 5;

function logOf({ input: { log } }: Evidence, source: string): readonly Proof[] {
  const lines = log.filter((line) => line.source === source).slice(-mostLogLines);
  return lines.map(({ time, level, message }) => ({ at: time, text: `${source} ${level}: ${message}` }));
}

function lastWords(words: unknown): string {
  const text = String(words ?? "it said nothing").replaceAll("\\n", "; ");
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
