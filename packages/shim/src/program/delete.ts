import { readFileSync } from "node:fs";
import path from "node:path";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import { ShimError, shownMessage } from "../errors.ts";
import { toldSocketDirectory } from "../system/socket.ts";
import { isAlive, type ShimSystem, systemOf } from "../system/system.ts";
import type { ShimFlags } from "./flags.ts";
import { lastWords } from "./last-words.ts";
import type { ShimOptions } from "./options.ts";
import { platformContext } from "./platform-context.ts";
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
  const system = systemOf(options);
  const state = readState(bundle);
  if (!isMember(bundle, flags.id, state)) {
    const cleanEnd = state?.kind === "ended" && (await endsWithin(state, orderlyEndMilliseconds, clock, system));
    if (!cleanEnd) {
      await endProcess(state, clock, system);
      // Before anything else can fail. containerd logs what delete says on standard error.
      const words = state?.kind === "serving" ? lastWords(bundle) : "";
      if (words !== "") host.stderr.write(`the shim of ${flags.id} ended with: ${shownMessage(new Error(words))}\n`);
    }
    await system.removeDeadSocket(state?.socket ?? socketOf(flags, options, host, system));
    if (!cleanEnd) await cleanUp(flags, options, host, bundle, system);
    if (state?.kind === "serving") markEnded(bundle, state, host);
  }
  return encodeFields([
    [2, killedStatus],
    [3, encodeTimestamp(clock.now())],
  ]);
}

/** Spares the next one its work; on a full file system, say, it is done again, which is no failure of this one. */
function markEnded(bundle: string, state: ShimState & { readonly kind: "serving" }, host: NodeJS.Process): void {
  try {
    writeState(bundle, { ...state, kind: "ended" });
  } catch (error) {
    host.stderr.write(`the state of ${state.id} is not written, delete would clean up again: ${shownMessage(error)}\n`);
  }
}

/** Where `start` has a shim of this id listen, also when nothing in a bundle says so any more. */
function socketOf(
  { address, namespace, id }: ShimFlags,
  options: ShimOptions,
  host: NodeJS.Process,
  system: ShimSystem,
): string {
  const directory = toldSocketDirectory(options, host.env);
  return system.socketPath({ address, namespace, id, ...(directory && { directory }) });
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
async function endProcess(state: ShimState | undefined, clock: Clock, system: ShimSystem): Promise<void> {
  if (state?.kind !== "serving" && state?.kind !== "ended") return;
  if (!(await isAlive(state, system))) return;
  process.kill(state.pid, "SIGKILL");
  if (await endsWithin(state, killMilliseconds, clock, system)) return;
  throw new ShimError("DeadlineExceeded", `delete ${state.id}: process ${state.pid} is alive after SIGKILL`);
}

async function endsWithin(
  identity: { readonly pid: number; readonly processStartTime: string },
  milliseconds: number,
  clock: Clock,
  system: ShimSystem,
): Promise<boolean> {
  const deadline = clock.now().getTime() + milliseconds;
  while (await isAlive(identity, system)) {
    if (clock.now().getTime() >= deadline) return false;
    await clock.delay(pollMilliseconds);
  }
  return true;
}

async function cleanUp(
  flags: ShimFlags,
  options: ShimOptions,
  host: NodeJS.Process,
  bundle: string,
  system: ShimSystem,
): Promise<void> {
  const { namespace, id } = flags;
  const clock = options.clock ?? systemClock;
  const level = flags.debug ? "debug" : "info";
  const log = system.openDeleteLog({ bundle, namespace, id, level, clock });
  const milliseconds = options.cleanUpMilliseconds ?? 4000;
  const stop = new AbortController();
  try {
    const work = async (): Promise<void> => {
      const platform = await options.loadPlatform(platformContext({ options, host, log, namespace, clock, system }));
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
