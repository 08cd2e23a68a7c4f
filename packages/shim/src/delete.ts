import { readFileSync } from "node:fs";
import path from "node:path";
import { type Clock, systemClock } from "./clock.ts";
import { ShimError } from "./errors.ts";
import type { ShimFlags } from "./flags.ts";
import { lastWords } from "./last-words.ts";
import { PipeLog } from "./log.ts";
import type { ShimOptions } from "./options.ts";
import { platformContext } from "./platform-context.ts";
import { isAlive } from "./process-identity.ts";
import { isAccepting, removeSocket } from "./socket.ts";
import { readState, type ShimState, writeState } from "./state-file.ts";
import { encodeFields, encodeTimestamp } from "./wire.ts";

/** 128 + SIGKILL: what containerd publishes for a task whose shim is gone. */
const killedStatus = 137;
const orderlyEndMilliseconds = 1000;
const killMilliseconds = 1000;
const pollMilliseconds = 2;

/**
 * The action `delete`: containerd runs it when the connection to a shim has ended, orderly or not. Removes all that
 * the shim of this id may have left; a container that joined another sandbox's shim left nothing. Answers with a
 * containerd.task DeleteResponse to write to standard output.
 */
export async function deleteLeftovers(flags: ShimFlags, options: ShimOptions, host: NodeJS.Process): Promise<Buffer> {
  const clock = options.clock ?? systemClock;
  const bundle = path.resolve(flags.bundle === "" ? host.cwd() : flags.bundle);
  const state = readState(bundle);
  if (!isMember(bundle, flags.id, state)) {
    const cleanEnd = state?.kind === "ended" && (await endsWithin(state, orderlyEndMilliseconds, clock));
    if (!cleanEnd) {
      await endProcess(state, clock);
      await cleanUp(flags, options, host, bundle);
    }
    await removeDeadSocket(state?.socket);
    if (state?.kind === "serving") {
      // containerd logs what delete says on standard error, which makes it the place for the cause of a crash.
      const words = lastWords(bundle);
      if (words !== "") host.stderr.write(`the shim of ${flags.id} ended with: ${words}\n`);
      writeState(bundle, { ...state, kind: "ended" });
    }
  }
  return encodeFields([
    [2, killedStatus],
    [3, encodeTimestamp(clock.now())],
  ]);
}

/** A container of another's sandbox: `start` wrote so, or containerd 2.x did, which starts no shim for those. */
function isMember(bundle: string, id: string, state: ShimState | undefined): boolean {
  if (state !== undefined) return state.kind === "member";
  try {
    const sandboxId = readFileSync(path.join(bundle, "sandbox"), "utf8").trim();
    return sandboxId !== "" && sandboxId !== id;
  } catch {
    return false;
  }
}

/** Ends the serving process of this very shim, when it is still there: never a process that was given its pid since. */
async function endProcess(state: ShimState | undefined, clock: Clock): Promise<void> {
  if (state?.kind !== "serving" && state?.kind !== "ended") return;
  if (!isAlive(state)) return;
  process.kill(state.pid, "SIGKILL");
  if (await endsWithin(state, killMilliseconds, clock)) return;
  throw new ShimError("DeadlineExceeded", `delete ${state.id}: process ${state.pid} is alive after SIGKILL`);
}

async function endsWithin(
  identity: { readonly pid: number; readonly processStartTime: string },
  milliseconds: number,
  clock: Clock,
): Promise<boolean> {
  const deadline = clock.now().getTime() + milliseconds;
  while (isAlive(identity)) {
    if (clock.now().getTime() >= deadline) return false;
    await clock.delay(pollMilliseconds);
  }
  return true;
}

async function cleanUp(flags: ShimFlags, options: ShimOptions, host: NodeJS.Process, bundle: string): Promise<void> {
  const { namespace, id } = flags;
  const clock = options.clock ?? systemClock;
  const level = flags.debug ? "debug" : "info";
  const log = new PipeLog({ path: path.join(bundle, "log"), level, clock, fields: { namespace, id } });
  const milliseconds = options.cleanUpMilliseconds ?? 4000;
  const stop = new AbortController();
  try {
    const work = async (): Promise<void> => {
      const platform = await options.loadPlatform(platformContext(options, host, log, namespace));
      await platform.cleanUp({ namespace, id, bundle });
      await platform.close();
    };
    const expiry = clock.delay(milliseconds, stop.signal).then(() => {
      throw new ShimError("DeadlineExceeded", `delete ${id}: cleaning up took longer than ${milliseconds} ms`);
    });
    await Promise.race([work(), expiry]);
  } finally {
    stop.abort(new ShimError("Cancelled", "delete is done"));
    log.close();
  }
}

/** The socket of a shim that is gone; another's that serves there by now is left alone. */
async function removeDeadSocket(socket: string | undefined): Promise<void> {
  if (socket !== undefined && !(await isAccepting(socket))) removeSocket(socket);
}
