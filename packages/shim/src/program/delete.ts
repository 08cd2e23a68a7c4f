import { readFileSync } from "node:fs";
import path from "node:path";
import { abortable, type Clock, settlesWithin, systemClock, withDeadline } from "@uvm-shim/lifecycle";
import { printableMessage, ShimError } from "../errors.ts";
import { systemOf } from "../system/select-system.ts";
import { configuredSocketDirectory } from "../system/socket.ts";
import { isAlive, type ShimSystem } from "../system/system.ts";
import { encodeDeleteAnswer } from "./delete-answer.ts";
import { ownFolder } from "./executable.ts";
import type { ShimFlags } from "./flags.ts";
import { platformContext } from "./platform-context.ts";
import type { ShimOptions } from "./shim-options.ts";
import { readState, type ShimState, writeState } from "./state-file.ts";
import { lastStderr } from "./stderr-file.ts";

const orderlyEndMilliseconds = 1000;
const killMilliseconds = 1000;
const pollMilliseconds = 2;
/** containerd kills the action 5 s after it has started the process, of which Node takes some on a busy machine. */
const wholeMilliseconds = 4700;
/** What the record has beyond that. */
const recordMilliseconds = 100;

/**
 * The action `delete`, which containerd runs whenever the connection to a shim has ended. Removes all that the shim of
 * this id may have left behind; a container that joined another sandbox's shim leaves nothing. Returns an encoded
 * DeleteResponse for standard output.
 */
export async function deleteLeftovers(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  sinceStart: () => number = () => performance.now(),
): Promise<Buffer> {
  const clock = options.clock ?? systemClock;
  const bundle = path.resolve(flags.bundle === "" ? nodeProcess.cwd() : flags.bundle);
  const system = systemOf(options);
  const state = readState(bundle);
  const left = (): number => Math.max(0, wholeMilliseconds - sinceStart());
  if (!isMember(bundle, flags.id, state)) {
    const cleanEnd =
      (state?.kind === "ended" && (await endsInOrder(state, bundle, clock, system))) ||
      (await isReleasedBySandboxer(state, system, left()));
    const removeSocket = (): Promise<void> =>
      system.removeDeadSocket(state?.socket ?? socketOf(flags, options, nodeProcess, system));
    if (cleanEnd) await removeSocket();
    else {
      const wasRunning = await endProcess(state, clock, system);
      // containerd logs the standard error of `delete`; written before anything else can fail.
      const stderr = state?.kind === "serving" ? lastStderr(bundle) : "";
      if (stderr !== "")
        nodeProcess.stderr.write(`shim of ${flags.id} wrote before it ended: ${printableMessage(new Error(stderr))}\n`);
      try {
        await removeSocket();
        await cleanUp(flags, options, nodeProcess, bundle, system, left());
      } finally {
        // Whoever asks for the record asks later, and a pod that is not cleaned up is worse than one without it.
        const recorded = recordLoss({ flags, options, nodeProcess, bundle, system, clock }, state, {
          wasRunning,
          stderr,
        });
        await settlesWithin(recorded, left() + recordMilliseconds, clock);
      }
    }
    if (state?.kind === "serving" || state?.kind === "hosted") markEnded(bundle, state, nodeProcess);
  }
  return encodeDeleteAnswer(clock.now());
}

/** A shim that did not end in order can tell nothing of its end itself. */
async function recordLoss(
  parts: {
    readonly flags: ShimFlags;
    readonly options: ShimOptions;
    readonly nodeProcess: NodeJS.Process;
    readonly bundle: string;
    readonly system: ShimSystem;
    readonly clock: Clock;
  },
  state: ShimState | undefined,
  { wasRunning, stderr }: { readonly wasRunning: boolean; readonly stderr: string },
): Promise<void> {
  if (state?.kind !== "serving" && state?.kind !== "hosted") return;
  const { appendToRecord } = await import("../record/pod-record.ts");
  const { nodeProcess, options } = parts;
  const installed = options.executableDirectory ?? ownFolder(nodeProcess);
  const pod = { ...parts, env: nodeProcess.env, installed, socket: state.socket, identity: state };
  const attributes = { pid: state.pid, wasRunning, ...(stderr !== "" && { stderr }) };
  await appendToRecord("delete", pod, [{ name: "shim lost", attributes }]);
}

/** Spares a repeated `delete` the cleanup. Failing to write it, as on a full disk, does not fail this one. */
function markEnded(
  bundle: string,
  state: ShimState & { readonly kind: "serving" | "hosted" },
  nodeProcess: NodeJS.Process,
): void {
  try {
    writeState(bundle, { ...state, kind: "ended" });
  } catch (error) {
    nodeProcess.stderr.write(
      `cannot write the state of ${state.id}, a repeated delete will clean up again: ${printableMessage(error)}\n`,
    );
  }
}

/** The socket that `start` assigns to this id: the state file that records it may be missing. */
function socketOf(
  { address, namespace, id }: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  system: ShimSystem,
): string {
  const directory = configuredSocketDirectory(options, nodeProcess.env);
  return system.socketPath({ address, namespace, id, ...(directory && { directory }) });
}

/** Whether the container joined another's sandbox: `start` or, in 2.x, containerd itself left a file that says so. */
function isMember(bundle: string, id: string, state: ShimState | undefined): boolean {
  if (state !== undefined) return state.kind === "member";
  try {
    const sandboxId = readFileSync(path.join(bundle, "sandbox"), "utf8").trim();
    return sandboxId !== "" && sandboxId !== id;
  } catch {
    return false;
  }
}

/** Whether a sandboxer that still runs has ended all that was left of the pod. */
async function isReleasedBySandboxer(
  state: ShimState | undefined,
  system: ShimSystem,
  milliseconds: number,
): Promise<boolean> {
  if (state?.kind !== "hosted" && state?.kind !== "ended") return false;
  if (state.control === undefined || !(await isAlive(state, system))) return false;
  const { releasePod } = await import("../sandboxer/control-client.ts");
  try {
    await releasePod(state.control, state, milliseconds);
    return true;
  } catch (error) {
    // It may have been about to die.
    if (error instanceof ShimError && error.code === "Unavailable" && !(await isAlive(state, system))) return false;
    throw error;
  }
}

/** Waits until the serving process has ended, or has nothing left but to report to others than clients. */
async function endsInOrder(
  state: ShimState & { readonly kind: "ended" },
  bundle: string,
  clock: Clock,
  system: ShimSystem,
): Promise<boolean> {
  const isReleased = (): boolean => {
    const now = readState(bundle);
    return now?.kind === "ended" && now.isReleased === true;
  };
  return await endsWithin(state, orderlyEndMilliseconds, clock, system, isReleased);
}

/**
 * Kills the serving process if it still runs, and answers whether it did. The start time tells it from a process that
 * reuses its pid.
 */
async function endProcess(state: ShimState | undefined, clock: Clock, system: ShimSystem): Promise<boolean> {
  if (state?.kind !== "serving" && state?.kind !== "ended") return false;
  // The process serves other pods too.
  if (state.kind === "ended" && state.control !== undefined) return false;
  if (!(await isAlive(state, system))) return false;
  process.kill(state.pid, "SIGKILL");
  if (await endsWithin(state, killMilliseconds, clock, system)) return true;
  throw new ShimError(
    "DeadlineExceeded",
    `delete ${state.id}: process ${state.pid} still runs ${killMilliseconds} ms after SIGKILL`,
  );
}

async function endsWithin(
  identity: { readonly pid: number; readonly processStartTime: string },
  milliseconds: number,
  clock: Clock,
  system: ShimSystem,
  isEnough: () => boolean = () => false,
): Promise<boolean> {
  const deadline = clock.now().getTime() + milliseconds;
  while (!isEnough() && (await isAlive(identity, system))) {
    if (clock.now().getTime() >= deadline) return false;
    await clock.delay(pollMilliseconds);
  }
  return true;
}

async function cleanUp(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  bundle: string,
  system: ShimSystem,
  left: number,
): Promise<void> {
  const { namespace, id } = flags;
  const clock = options.clock ?? systemClock;
  const level = flags.debug ? "debug" : "info";
  const log = system.openDeleteLog({ bundle, namespace, id, level, clock });
  const milliseconds = Math.min(options.cleanUpMilliseconds ?? left, left);
  try {
    const work = async (): Promise<void> => {
      const platform = await options.loadPlatform(
        platformContext({ options, nodeProcess, log, namespace, clock, system, servesOnePod: true }),
      );
      await platform.cleanUp({ namespace, id, bundle });
      await platform.close();
    };
    const error = (): ShimError =>
      new ShimError("DeadlineExceeded", `delete ${id}: cleanup took longer than ${Math.round(milliseconds)} ms`);
    await withDeadline((until) => abortable(work(), until), { clock, milliseconds, error });
  } finally {
    log.close();
  }
}
