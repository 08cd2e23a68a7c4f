import type { Cause } from "./cause.ts";
import { unexpectedExit } from "./ends.ts";
import { type Evidence, proofOf, socketProof } from "./evidence.ts";
import { secondsSince } from "./hangs.ts";

/** How long a client may leave a container that has ended. */
const forgottenSeconds = 300;

/** What goes wrong in a pod that goes on. */
export const troubles: readonly Cause[] = [
  {
    code: "containerd-gone",
    title: "containerd does not take the shim's events.",
    advice: "Start containerd, or look why it does not answer; the shim delivers its events when it is back.",
    find: (evidence) => {
      const delayed = evidence.last("events delayed");
      const again = evidence.last("events delivered again");
      if (delayed === undefined || (again !== undefined && again.seq > delayed.seq)) return undefined;
      const seconds = secondsSince(evidence, delayed.time);
      const sentence = `containerd has taken no events of the pod for ${seconds} s, the first of them ${String(delayed.attributes?.topic)}.`;
      return { sentence, evidence: [proofOf(delayed), ...socketProof(evidence, "eventSocket")], at: delayed.time };
    },
  },
  {
    code: "out-of-memory",
    title: "The guest's kernel killed a process because memory ran out.",
    advice: "Raise the memory limit of the container, or of the VM if it has none of its own.",
    find: (evidence) => {
      const kill = evidence.last("out of memory");
      if (kill === undefined) return undefined;
      const container = String(kill.attributes?.container);
      const exit = exitsOf(evidence).findLast(({ attributes }) => attributes?.id === container);
      const sentence = `Container ${container} ran out of memory, and the guest's kernel killed a process of it.`;
      return { sentence, evidence: [proofOf(kill), ...(exit ? [proofOf(exit)] : [])], at: kill.time };
    },
  },
  {
    code: "program-failed",
    title: "The program of a container ended by itself with a failure.",
    advice: "Look at the output of the container: the reason is its own.",
    find: (evidence) => {
      if (unexpectedExit(evidence) !== undefined || evidence.last("host service lost") !== undefined) return undefined;
      const killed = new Set(evidence.occurrences("out of memory").map(({ attributes }) => attributes?.container));
      const exit = exitsOf(evidence).findLast(({ seq, attributes = {} }) => {
        const { id, status } = attributes;
        const isOfContainer = !String(id).includes("/") && id !== undefined && !killed.has(id);
        return isOfContainer && status !== 0 && !isAsked(evidence, String(id), seq);
      });
      if (exit === undefined) return undefined;
      const { id, status } = exit.attributes ?? {};
      const sentence = `The program of container ${String(id)} ended by itself, with exit code ${String(status)}.`;
      return { sentence, evidence: [proofOf(exit)], at: exit.time };
    },
  },
  {
    code: "not-deleted",
    title: "A container has ended, and its client has not deleted it.",
    advice: "Look at the client (containerd, the kubelet, ctr): it may be gone, or keeps what has ended on purpose.",
    find: (evidence) => {
      if (evidence.isDead || evidence.hasEnded) return undefined;
      const exit = exitsOf(evidence).find(
        ({ seq, attributes }) => !String(attributes?.id).includes("/") && isLeft(evidence, String(attributes?.id), seq),
      );
      if (exit === undefined) return undefined;
      const seconds = secondsSince(evidence, exit.time);
      if (seconds < forgottenSeconds) return undefined;
      const sentence = `Container ${String(exit.attributes?.id)} ended ${seconds} s ago, and its client has not deleted it.`;
      return { sentence, evidence: [proofOf(exit)], at: exit.time };
    },
  },
];

function exitsOf(evidence: Evidence) {
  return evidence.occurrences("process exited");
}

/** Whether a client has ended it, or its creation failed. */
function isAsked(evidence: Evidence, container: string, before: number): boolean {
  return evidence.requests.some(
    ({ began, ended }) =>
      began.seq < before &&
      (/^Sandbox\/(Stop|Shutdown)Sandbox$/.test(began.name) ||
        (began.attributes?.container_id === container &&
          (/^Task\/(Kill|Delete|Shutdown)$/.test(began.name) ||
            (/^Task\/(Create|Start)$/.test(began.name) && ended?.error !== undefined)))),
  );
}

/** Whether nobody has deleted it. Where that may be among the lines that were left out, only the shim knows. */
function isLeft(evidence: Evidence, container: string, after: number): boolean {
  const { state } = evidence.input;
  if (state !== undefined) return state.containers.some(({ id }) => id === container);
  return !evidence.hasGapAfter(after) && !isDeleted(evidence, container, after);
}

function isDeleted(evidence: Evidence, container: string, after: number): boolean {
  return evidence.requests.some(
    ({ began, ended }) =>
      began.seq > after &&
      began.name === "Task/Delete" &&
      began.attributes?.container_id === container &&
      began.attributes.exec_id === undefined &&
      ended?.error === undefined,
  );
}
