import { SchemaError } from "@uvm-shim/hcs-schema";
import { ControllerError, type ControllerErrorCode } from "@uvm-shim/lifecycle";
import type { PathLookup } from "./types.ts";

/** Makes the error with which one operation on one container refuses what it was given. */
export type Refuse = (code: ControllerErrorCode, message: string, cause?: unknown) => ControllerError;

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
  if (typeof value === "string" && value.includes("\0")) {
    // The text itself may be a secret, as variables of the environment are.
    const given = `one of ${value.length} characters with NUL at ${value.indexOf("\0")}`;
    throw refuse("InvalidArgument", `${where}: expected text without NUL, got ${given}`);
  }
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (!Array.isArray(value) && name.includes("\0")) {
      const given = JSON.stringify(name.slice(0, mostCharacters));
      throw refuse("InvalidArgument", `${where}: expected text without NUL, got ${given}`);
    }
    checkWholeTexts(member, Array.isArray(value) ? `${where}[${name}]` : joined(where, name), refuse);
  }
}

const mostCharacters = 60;

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
