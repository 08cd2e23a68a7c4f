/** The answer to `delete`, and the file in which a pod that has ended in order leaves it: the launcher gives it, without Node. */
import { promises, rmSync } from "node:fs";
import path from "node:path";
import { encodeFields, encodeTimestamp } from "./protobuf-wire.ts";
import { writeFileAtomically } from "./state-file.ts";

/** 128 + SIGKILL: the exit status that containerd publishes for a task without a shim. */
const killedStatus = 137;

/** A DeleteResponse. */
export function encodeDeleteAnswer(now: Date): Buffer {
  return encodeFields([
    [2, killedStatus],
    [3, encodeTimestamp(now)],
  ]);
}

/** Its name is known to the launcher too, which tools/assemble.ts makes. */
export const deleteAnswerFile = "uvm-shim.deleted";

/**
 * Leaves the answer in a bundle of which nothing is left that `delete` would have to remove: a line with the id and the bytes
 * as a shell's printf takes them. Throws the system's error.
 */
export function leaveDeleteAnswer(bundle: string, id: string, now: Date): void {
  writeFileAtomically(path.join(bundle, deleteAnswerFile), lineOf(id, now));
}

/** The same for a container that joined another's sandbox, off the event loop: a client has named its bundle. */
export async function leaveMembersAnswer(bundle: string, id: string, now: Date): Promise<void> {
  const file = path.join(bundle, deleteAnswerFile);
  await promises.writeFile(`${file}.new`, lineOf(id, now), { mode: 0o600 });
  await promises.rename(`${file}.new`, file);
}

function lineOf(id: string, now: Date): string {
  const bytes = Array.from(encodeDeleteAnswer(now), (byte) => `\\0${byte.toString(8).padStart(3, "0")}`);
  return `${id} ${bytes.join("")}\n`;
}

/** For a pod or container that begins in the bundle. */
export function removeDeleteAnswer(bundle: string): void {
  rmSync(path.join(bundle, deleteAnswerFile), { force: true });
}
