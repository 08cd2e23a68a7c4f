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
  /** A sandboxer serves it, beside other pods: its process must outlive this one. `control` is where it can be asked. */
  | (StateCommon & {
      readonly kind: "hosted";
      readonly pid: number;
      readonly processStartTime: string;
      readonly control: string;
    })
  /** Its VM ended with the sandboxer that served it. Times in the form of ISO 8601. */
  | (StateCommon & { readonly kind: "lost"; readonly createdAt: string; readonly exitedAt: string })
  /**
   * The shim releases everything before it exits, so `delete` can skip the cleanup. `isReleased` says that it already has:
   * what the process still does concerns nobody. `control` is present if a sandboxer served the pod.
   */
  | (StateCommon & {
      readonly kind: "ended";
      readonly pid: number;
      readonly processStartTime: string;
      readonly isReleased?: boolean;
      readonly control?: string;
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
      if (!["undefined", "string"].includes(typeof state.control)) return false;
      return Number.isSafeInteger(state.pid) && texts("processStartTime");
    case "serving":
      return Number.isSafeInteger(state.pid) && texts("processStartTime");
    case "lost":
      return texts("createdAt", "exitedAt");
    case "hosted":
      return Number.isSafeInteger(state.pid) && texts("processStartTime", "control");
    default:
      return false;
  }
}
