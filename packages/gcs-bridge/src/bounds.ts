/**
 * Limits of a guest's messages: far above what guests send, yet low enough to parse a message within milliseconds, since
 * the same thread serves the other containers of the pod.
 */
import type { JsonBounds } from "@uvm-shim/hcs-schema";
import type { Procedure } from "./procedure-bodies.ts";

const kibibyte = 1024;

/** A result, or an error with its records and stacks, of which hcsshim accepts 64 KiB. */
const outcome: JsonBounds = { length: 256 * kibibyte, depth: 8, keys: 4_096, elements: 512 };

/** Limits of answers. The length is that of the frame's body in bytes. */
export const answerBounds: { readonly [P in Procedure]: JsonBounds } = {
  create: outcome,
  start: outcome,
  shutdownGraceful: outcome,
  shutdownForced: outcome,
  executeProcess: outcome,
  waitForProcess: outcome,
  signalProcess: outcome,
  resizeConsole: outcome,
  // The document inside the string has limits of its own, set by the sender of the query.
  getProperties: { ...outcome, length: 2 * 1024 * kibibyte },
  modifySettings: outcome,
  negotiateProtocol: outcome,
  dumpStacks: { ...outcome, length: 1024 * kibibyte },
  deleteContainerState: outcome,
  modifyServiceSettings: outcome,
};

/** The real guest sends six fields. */
export const notificationBounds: JsonBounds = { length: 16 * kibibyte, depth: 4, keys: 32, elements: 32 };
