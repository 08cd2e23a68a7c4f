import { writeSync } from "node:fs";
import type { GuestLog } from "../log.ts";

/** Ends the guest with a reason. */
export type Crash = (cause: unknown) => never;

/** Runs an agent. Whatever it does not catch is logged, written to the console, and ends it, and the guest with it. */
export async function runUntilFailure(log: GuestLog, serve: (crash: Crash) => Promise<void>): Promise<void> {
  const crash: Crash = (error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error("the agent has failed", { error: text });
    writeSync(process.stderr.fd, `guest agent: ${text}\n`);
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  try {
    await serve(crash);
  } catch (error) {
    crash(error);
  }
}
