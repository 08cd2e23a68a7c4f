import { SchemaError } from "@uvm-shim/hcs-schema";
import { ControllerError, type ErrorCode } from "@uvm-shim/lifecycle";
import type { PathLookup } from "./types.ts";

/** Makes the error with which one operation on one container refuses what it was given. */
export type Refuse = (code: ErrorCode, message: string, cause?: unknown) => ControllerError;

export function refusing(operation: string, id: string): Refuse {
  return (code, message, cause) => new ControllerError(code, message, { operation, id, cause });
}

/** The host's files, which refuse a path that their system cannot follow: too long, or links in a circle. */
export function namingPaths(files: PathLookup, refuse: Refuse): PathLookup {
  const named = async <T>(path: string, work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (typeof (error as { syscall?: unknown } | null)?.syscall !== "string") throw error;
      throw refuse("InvalidArgument", `${path} cannot be used: ${(error as Error).message}`, error);
    }
  };
  return {
    kind: (path) => named(path, files.kind(path)),
    realPath: (path) => named(path, files.realPath(path)),
    hasMountsBelow: (path) => files.hasMountsBelow(path),
    showsLaterMounts: (path) => files.showsLaterMounts(path),
    mountFlags: (path) => files.mountFlags(path),
  };
}

/**
 * Refuses what has a NUL anywhere in its texts or names: whoever hands it to a kernel, or writes it in C, takes what comes
 * before for all of it.
 */
export function checkWholeTexts(value: unknown, where: string, refuse: Refuse): void {
  const found: Found[] = [{ value }];
  // Neither a call within a call nor a path of its own for each value: what no check knows may be nested by the thousand.
  for (const at of found) {
    if (typeof at.value === "string" && at.value.includes("\0")) {
      // The text itself may be a secret, as variables of the environment are.
      const given = `one of ${at.value.length} characters with NUL at ${at.value.indexOf("\0")}`;
      throw refuse("InvalidArgument", `${placeOf(at, where)}: expected text without NUL, got ${given}`);
    }
    if (typeof at.value !== "object" || at.value === null) continue;
    const isList = Array.isArray(at.value);
    for (const [name, member] of Object.entries(at.value)) {
      if (!isList && name.includes("\0")) {
        const given = JSON.stringify(name.slice(0, mostCharacters));
        throw refuse("InvalidArgument", `${placeOf(at, where)}: expected text without NUL, got ${given}`);
      }
      found.push({ value: member, within: at, step: isList ? `[${name}]` : name });
    }
  }
}

/** A value, and by which step it is reached from that which it is in. */
interface Found {
  readonly value: unknown;
  readonly within?: Found;
  readonly step?: string;
}

const mostCharacters = 60;
const mostSteps = 16;

/** Of a path of many steps the last ones. */
function placeOf(found: Found, where: string): string {
  const steps: string[] = [];
  let at: Found | undefined = found;
  for (; at?.step !== undefined && steps.length < mostSteps; at = at.within) {
    steps.unshift(at.step.slice(0, mostCharacters));
  }
  if (at?.step !== undefined) steps.unshift("…");
  return steps.reduce((place, step) => (step.startsWith("[") ? `${place}${step}` : joined(place, step)), where);
}

function joined(where: string, name: string): string {
  return where.includes(": ") ? `${where}.${name}` : `${where}: ${name}`;
}

/** Runs a schema check; what it finds becomes InvalidArgument and names the file and field. */
export function checked<T>(check: () => T, file: string, refuse: Refuse): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SchemaError) throw refuse("InvalidArgument", `${file}: ${error.message}`, error);
    throw error;
  }
}
