/**
 * What a guest's messages may hold. Each is far from what guests send and near enough that reading one takes the host
 * milliseconds: it serves the other containers of the pod with the same thread.
 */
import type { JsonBounds } from "@uvm-shim/hcs-schema";
import type { Procedure } from "./procedures.ts";

const kibibyte = 1024;

/** A result, or an error with the records and stacks of what went wrong; the reference's host takes 64 KiB of it. */
const outcome: JsonBounds = { length: 256 * kibibyte, depth: 8, keys: 4_096, elements: 512 };

/** Of an answer. The length is that of the frame's body in bytes. */
export const answerBounds: { readonly [P in Procedure]: JsonBounds } = {
  create: outcome,
  start: outcome,
  shutdownGraceful: outcome,
  shutdownForced: outcome,
  executeProcess: outcome,
  waitForProcess: outcome,
  signalProcess: outcome,
  resizeConsole: outcome,
  // Of a document in a string, which has bounds of its own: those of whoever knows what was asked for.
  getProperties: { ...outcome, length: 2 * 1024 * kibibyte },
  modifySettings: outcome,
  negotiateProtocol: outcome,
  dumpStacks: { ...outcome, length: 1024 * kibibyte },
  deleteContainerState: outcome,
};

/** Six fields in the reference's. */
export const notificationBounds: JsonBounds = { length: 16 * kibibyte, depth: 4, keys: 32, elements: 32 };
