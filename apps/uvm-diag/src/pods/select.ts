import { nearest } from "@uvm-shim/command-line";
import { DiagError, exitCodes } from "../errors.ts";
import { plain } from "../output/plain.ts";
import { nameOf, type Pod } from "./pod.ts";

const mostListed = 12;

/** The pod that a person means: by id, by namespace and id, by a unique prefix of either, or by a container of it. */
export function selectPod<P extends Pick<Pod, "namespace" | "id" | "members">>(pods: readonly P[], wanted: string): P {
  // Every name begins with nothing, and a variable that is not set would choose the only pod.
  if (wanted === "") throw new DiagError(exitCodes.usage, "POD is empty, expected the name of a pod");
  const ways: readonly ((pod: P) => boolean)[] = [
    (pod) => nameOf(pod) === wanted,
    ({ id }) => id === wanted,
    ({ members }) => members.includes(wanted),
    (pod) => pod.id.startsWith(wanted) || nameOf(pod).startsWith(wanted),
    ({ members }) => members.some((member) => member.startsWith(wanted)),
  ];
  for (const way of ways) {
    const found = pods.filter(way);
    if (found.length === 1) return found[0] as P;
    if (found.length > 1) {
      throw new DiagError(
        exitCodes.unknownPod,
        `${quoted(wanted)} may be any of ${listOf(found)}: give more of the name`,
      );
    }
  }
  if (pods.length === 0) {
    throw new DiagError(
      exitCodes.unknownPod,
      `there is no pod ${quoted(wanted)}: this machine has no pods of uvm-shim, nor records of any`,
    );
  }
  const meant = nearest(
    wanted,
    pods.flatMap((pod) => [pod.id, nameOf(pod)]),
  );
  const guess = meant === undefined ? "" : ` Did you mean ${meant}?`;
  throw new DiagError(exitCodes.unknownPod, `there is no pod ${quoted(wanted)}; there are ${listOf(pods)}.${guess}`);
}

function listOf(pods: readonly Pick<Pod, "namespace" | "id">[]): string {
  const names = pods.map((pod) => plain(nameOf(pod)));
  const shown = names.slice(0, mostListed).join(", ");
  return names.length > mostListed ? `${shown} and ${names.length - mostListed} more` : shown;
}

function quoted(text: string): string {
  return `"${plain(text)}"`;
}
