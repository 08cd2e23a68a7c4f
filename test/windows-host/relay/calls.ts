import { computeCalls } from "./compute-calls.ts";
import { guestCalls } from "./guest-calls.ts";
import { hvsocketCalls } from "./hvsocket-calls.ts";
import { networkCalls } from "./network-calls.ts";
import { processCalls } from "./process-calls.ts";
import type { Handler } from "./session.ts";
import { storageCalls } from "./storage-calls.ts";
import { vmmemCalls } from "./vmmem-calls.ts";

/** Everything that the DLLs call, by its name. */
export const handlers: ReadonlyMap<string, Handler> = new Map(
  [computeCalls, processCalls, networkCalls, storageCalls, vmmemCalls, hvsocketCalls, guestCalls].flatMap((calls) =>
    Object.entries(calls),
  ),
);
