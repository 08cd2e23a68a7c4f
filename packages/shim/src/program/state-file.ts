import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/**
 * What a bundle's shim leaves behind for `delete` and for the `start` of other containers of the sandbox.
 * A member is a container that joined another sandbox's shim; its end must not touch that sandbox.
 */
export type ShimState =
  | (StateCommon & { readonly kind: "member"; readonly sandboxId: string })
  | (StateCommon & { readonly kind: "starting" })
  | (StateCommon & { readonly kind: "serving"; readonly pid: number; readonly processStartTime: string })
  /** The shim gave back all that it held before it ended, so `delete` has nothing to look for. */
  | (StateCommon & { readonly kind: "ended"; readonly pid: number; readonly processStartTime: string });

interface StateCommon {
  readonly id: string;
  readonly namespace: string;
  readonly socket: string;
}

const fileName = "uvm-shim.json";

/** Written beside and renamed, so that a reader never sees half of it. */
export function writeState(bundle: string, state: ShimState): void {
  writeFileAtomically(path.join(bundle, fileName), JSON.stringify(state));
}

/** Undefined when there is none, or none that can be understood. */
export function readState(bundle: string): ShimState | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path.join(bundle, fileName), "utf8"));
  } catch {
    return undefined;
  }
  return isState(parsed) ? parsed : undefined;
}

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
    case "serving":
    case "ended":
      return Number.isSafeInteger(state.pid) && texts("processStartTime");
    default:
      return false;
  }
}
