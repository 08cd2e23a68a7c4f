import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/**
 * Written into the bundle for `delete`, and for the `start` of other containers of the sandbox. A member is a container
 * that joined another sandbox's shim; deleting it must not touch that sandbox.
 */
export type ShimState =
  | (StateCommon & { readonly kind: "member"; readonly sandboxId: string })
  | (StateCommon & { readonly kind: "starting" })
  | (StateCommon & { readonly kind: "serving"; readonly pid: number; readonly processStartTime: string })
  /**
   * The shim releases everything before it exits, so `delete` can skip the cleanup. `isReleased` says that it already has:
   * what the process still does concerns nobody.
   */
  | (StateCommon & {
      readonly kind: "ended";
      readonly pid: number;
      readonly processStartTime: string;
      readonly isReleased?: boolean;
    });

interface StateCommon {
  readonly id: string;
  readonly namespace: string;
  readonly socket: string;
}

const fileName = "uvm-shim.json";

/** Replaces the state in a bundle. Throws the system's error. */
export function writeState(bundle: string, state: ShimState): void {
  writeFileAtomically(path.join(bundle, fileName), JSON.stringify(state));
}

/** Undefined when the file is missing or invalid. */
export function readState(bundle: string): ShimState | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path.join(bundle, fileName), "utf8"));
  } catch {
    return undefined;
  }
  return isState(parsed) ? parsed : undefined;
}

/** Renames a complete file into place, so that a reader never sees half of it. */
export function writeFileAtomically(file: string, content: string): void {
  const temporary = `${file}.${process.pid}.new`;
  try {
    writeFileSync(temporary, content, { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function isState(value: unknown): value is ShimState {
  if (typeof value !== "object" || value === null) return false;
  const state = value as { readonly [field: string]: unknown };
  const texts = (...fields: string[]): boolean => fields.every((field) => typeof state[field] === "string");
  if (!texts("id", "namespace", "socket")) return false;
  switch (state.kind) {
    case "member":
      return texts("sandboxId");
    case "starting":
      return true;
    case "ended":
      if (!["undefined", "boolean"].includes(typeof state.isReleased)) return false;
      return Number.isSafeInteger(state.pid) && texts("processStartTime");
    case "serving":
      return Number.isSafeInteger(state.pid) && texts("processStartTime");
    default:
      return false;
  }
}
