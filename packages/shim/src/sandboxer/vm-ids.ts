import { readFileSync } from "node:fs";
import path from "node:path";
import { writeFileAtomically } from "../program/state-file.ts";

/** The ids of all VMs that were booted ahead and have not ended, for a sandboxer that comes after this one. */
export interface VmIds {
  /** Those of an earlier process, and of this one. */
  read(): Promise<readonly string[]>;
  /** Resolves when it is kept. */
  add(id: string): Promise<void>;
  remove(id: string): Promise<void>;
}

/** Beside the folders of the namespaces. */
export const vmIdsFile = "ready-vms";
const form = /^ready-[0-9a-f-]{36}@vm$/;

/** The id of the compute system of a VM that is booted ahead. */
export function readyVmId(uuid: string): string {
  return `ready-${uuid}@vm`;
}

/** Keeps them in a file of the state folder, a line each. */
export function vmIdsIn(folder: string): VmIds {
  const file = path.join(folder, vmIdsFile);
  let ids: ReadonlySet<string> | undefined;
  const known = (): ReadonlySet<string> => {
    ids ??= readIds(file);
    return ids;
  };
  const keep = (next: ReadonlySet<string>): void => {
    writeFileAtomically(file, [...next].map((id) => `${id}\n`).join(""));
    ids = next;
  };
  return {
    read: async () => [...known()],
    add: async (id) => keep(new Set([...known(), id])),
    remove: async (id) => {
      if (known().has(id)) keep(new Set([...known()].filter((other) => other !== id)));
    },
  };
}

/** Only what this program has written: it is about to end what has these ids. */
function readIds(file: string): ReadonlySet<string> {
  try {
    return new Set(
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => form.test(line)),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Set();
    throw error;
  }
}
