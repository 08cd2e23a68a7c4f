import type { StateTree } from "@uvm-shim/shim/protocol";
import { DiagError, exitCodes } from "../errors.ts";

const lists = ["containers", "disks", "shares", "networks", "devices", "calls", "work", "machines"] as const;

/** What a shim answers to State; fields that later shims add are kept. */
export function parseState(text: string): StateTree {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unreadable((cause as Error).message, cause);
  }
  const tree = value as Partial<Record<keyof StateTree, unknown>> | null;
  if (tree?.version !== 1) throw unreadable(`it has version ${String(tree?.version)}, expected 1`);
  const lacking = lists.find((list) => !Array.isArray(tree[list]));
  if (lacking !== undefined || typeof tree.shim !== "object") throw unreadable(`it has no ${lacking ?? "shim"}`);
  return value as StateTree;
}

function unreadable(reason: string, cause?: unknown): DiagError {
  return new DiagError(exitCodes.unsupported, `this tool does not understand the shim's state: ${reason}`, { cause });
}
