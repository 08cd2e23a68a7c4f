import { closeSync, existsSync, openSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import type { ChildProcess } from "@uvm-shim/child-processes";
import { abortable, type Clock, settlesWithin, systemClock, withDeadline } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import { fileThreads } from "../system/file-calls.ts";
import { systemOf } from "../system/select-system.ts";
import { configuredSocketDirectory, isAccepting } from "../system/socket.ts";
import type { ShimSystem } from "../system/system.ts";
import {
  encodeReply,
  longestStartInput,
  parseStartInput,
  type ReplyDialect,
  type RuntimeOptions,
  type StartInput,
} from "./bootstrap.ts";
import { readConfiguration, sandboxIdOf } from "./bundle.ts";
import { findReplyDialect } from "./containerd-version.ts";
import { removeDeleteAnswer } from "./delete-answer.ts";
import { ownCommand, ownFolder, withoutNodeVariables } from "./executable.ts";
import type { ShimFlags } from "./flags.ts";
import { prepareOptionsPipe } from "./options-pipe.ts";
import { readyDescriptorVariable } from "./readiness.ts";
import { chooseSandboxer } from "./sandboxer-address.ts";
import type { ShimOptions } from "./shim-options.ts";
import { checkBundle, checkCaller } from "./start-checks.ts";
import { readState, writeFileAtomically, writeState } from "./state-file.ts";
import { lastStderr, stderrFile } from "./stderr-file.ts";

const killMilliseconds = 1000;

/** What a pod is to be served with. */
export interface StartTarget {
  readonly bundle: string;
  readonly socket: string;
  readonly runtimeOptions: RuntimeOptions | undefined;
  readonly debug: boolean;
  readonly addresses: { readonly TTRPC_ADDRESS: string; readonly GRPC_ADDRESS: string };
}

/** Serves a pod: resolves with the pid of the process that does once its socket accepts connections. */
export type ServePod = (target: StartTarget) => Promise<number>;

/**
 * The action `start`: returns the reply for standard output once the socket accepts connections.
 *
 * @param serve by default a process of its own is started, which outlives this one.
 */
export async function start(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  serve: ServePod = (target) => serveInNewProcess(flags, options, nodeProcess, target),
): Promise<Buffer> {
  await checkCaller(flags, options, nodeProcess.env);
  const bundle = path.resolve(flags.bundle === "" ? nodeProcess.cwd() : flags.bundle);
  const given = await readInput(nodeProcess, options.inputMilliseconds ?? 5000);
  const { hasConfiguration, sandboxId } = await namedSandbox(bundle);
  checkBundle(bundle, flags, { hasConfiguration, hasInput: given.length > 0 });
  const input = parseStartInput(given, flags);
  removeDeleteAnswer(bundle);
  const grpcAddress = grpcAddressOf(input, flags, nodeProcess);
  const dialect: Promise<ReplyDialect> =
    input.dialect === "bootstrap"
      ? Promise.resolve({ kind: "protobuf" })
      : findReplyDialect(nodeProcess.env, grpcAddress);
  const system = systemOf(options);
  const directory =
    configuredSocketDirectory(options, nodeProcess.env) ??
    ((input.dialect === "bootstrap" && input.socketDirectory) || undefined);
  const { address: containerdAddress, namespace } = flags;
  const socketOf = (id: string): string =>
    system.socketPath({ address: containerdAddress, namespace, id, ...(directory && { directory }) });
  let socket: string;
  if (sandboxId !== undefined && sandboxId !== flags.id) {
    // containerd keeps the bundles of one namespace in one directory.
    socket = readState(path.join(path.dirname(bundle), sandboxId))?.socket ?? socketOf(sandboxId);
    await join(flags, sandboxId, socket, bundle);
  } else {
    socket = socketOf(flags.id);
    try {
      const target = { bundle, socket, input, system };
      const isHosted = await handOver(flags, options, nodeProcess, target);
      if (!isHosted) await startServing(flags, nodeProcess, target, serve);
    } catch (error) {
      await recordFailure(flags, options, nodeProcess, { bundle, socket, system, error });
      throw error;
    }
  }
  const address = system.address(socket);
  // After a restart, containerd 1.6 and 1.7 read the address from this file.
  writeFileAtomically(path.join(bundle, "address"), address);
  return encodeReply(await dialect, address);
}

/** containerd's gRPC address; the serving process queries it too. */
function grpcAddressOf(input: StartInput, flags: ShimFlags, nodeProcess: NodeJS.Process): string {
  const address = input.dialect === "bootstrap" ? input.grpcAddress : nodeProcess.env.GRPC_ADDRESS;
  return address || flags.address;
}

/** An invalid config.json is left for Create to report: only there an error has a code. */
async function namedSandbox(
  bundle: string,
): Promise<{ readonly hasConfiguration: boolean; readonly sandboxId?: string | undefined }> {
  try {
    const configuration = await readConfiguration(bundle);
    if (configuration === undefined) return { hasConfiguration: false };
    return { hasConfiguration: true, sandboxId: sandboxIdOf(configuration.annotations) };
  } catch {
    return { hasConfiguration: true };
  }
}

/** Records that the sandbox's shim serves this container too. */
async function join(flags: ShimFlags, sandboxId: string, socket: string, bundle: string): Promise<void> {
  if (!(await isAccepting(socket))) {
    throw new ShimError(
      "Unavailable",
      `start ${flags.id}: the shim of sandbox ${sandboxId} does not accept connections on ${socket}`,
    );
  }
  writeState(bundle, { kind: "member", id: flags.id, namespace: flags.namespace, socket, sandboxId });
}

/** Beside the error itself, which containerd may shorten or lose. */
async function recordFailure(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  failed: { readonly bundle: string; readonly socket: string; readonly system: ShimSystem; readonly error: unknown },
): Promise<void> {
  // The record is that of the shim which serves already.
  if (failed.error instanceof ShimError && failed.error.code === "AlreadyExists") return;
  const { appendToRecord } = await import("../record/pod-record.ts");
  const { env, pid } = nodeProcess;
  const installed = options.executableDirectory ?? ownFolder(nodeProcess);
  const identity = { pid, processStartTime: "" };
  const pod = { ...failed, flags, options, env, installed, identity, clock: options.clock ?? systemClock };
  await appendToRecord("start", pod, [{ name: "start failed", attributes: { error: describeError(failed.error) } }]);
}

/** Has a sandboxer serve the pod, without a process of its own. Answers whether one does. */
async function handOver(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  { bundle, socket, input }: { readonly bundle: string; readonly socket: string; readonly input: StartInput },
): Promise<boolean> {
  const { env } = nodeProcess;
  const choice = chooseSandboxer(env.UVM_SHIM_SANDBOXER, options.flavour);
  if (choice.kind === "none" || (choice.kind === "usual" && !mayExist(choice.control))) return false;
  const { hostPod } = await import("../sandboxer/control-client.ts");
  const { namespace, id } = flags;
  try {
    await hostPod(choice.control, {
      ...{ namespace, id, bundle, socket, flavour: options.flavour },
      ...{ host: env.UVM_SHIM_HOST ?? "", guest: env.UVM_SHIM_GUEST ?? "" },
      ...{ runtimeOptions: input.runtimeOptions, debug: isDebugging(flags, input) },
      ttrpcAddress: ttrpcAddressOf(input, nodeProcess),
      grpcAddress: grpcAddressOf(input, flags, nodeProcess),
    });
    return true;
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (choice.kind === "usual" && (code === "Unavailable" || code === "FailedPrecondition")) return false;
    throw error;
  }
}

/** A pipe of Windows cannot be looked for, only dialled. */
function mayExist(control: string): boolean {
  return process.platform === "win32" || existsSync(control);
}

function isDebugging(flags: ShimFlags, input: StartInput): boolean {
  return flags.debug || (input.dialect === "bootstrap" && input.debug);
}

function ttrpcAddressOf(input: StartInput, nodeProcess: NodeJS.Process): string {
  return (input.dialect === "bootstrap" && input.ttrpcAddress) || nodeProcess.env.TTRPC_ADDRESS || "";
}

async function startServing(
  flags: ShimFlags,
  nodeProcess: NodeJS.Process,
  target: { readonly bundle: string; readonly socket: string; readonly input: StartInput; readonly system: ShimSystem },
  serve: ServePod,
): Promise<void> {
  const { bundle, socket, input, system } = target;
  await system.prepareSocket(socket);
  if (await isAccepting(socket)) {
    throw new ShimError("AlreadyExists", `start ${flags.id}: a shim already serves ${socket}`);
  }
  writeState(bundle, {
    kind: "starting",
    id: flags.id,
    namespace: flags.namespace,
    socket,
  });
  const addresses = {
    TTRPC_ADDRESS: ttrpcAddressOf(input, nodeProcess),
    GRPC_ADDRESS: grpcAddressOf(input, flags, nodeProcess),
  };
  const { runtimeOptions } = input;
  try {
    const pid = await serve({ bundle, socket, runtimeOptions, debug: isDebugging(flags, input), addresses });
    writeFileAtomically(path.join(bundle, "shim.pid"), `${pid}`);
  } catch (error) {
    await system.removeDeadSocket(socket);
    const stderr = lastStderr(bundle);
    const reason = (error as Error).message;
    throw new ShimError("Unavailable", `start ${flags.id}: ${reason}${stderr === "" ? "" : `: ${stderr}`}`, {
      cause: error,
    });
  }
}

async function serveInNewProcess(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  { bundle, socket, runtimeOptions, debug, addresses }: StartTarget,
): Promise<number> {
  const { startProgram } = await import("@uvm-shim/child-processes");
  const output = openSync(stderrFile(bundle), "w", 0o600);
  const command = options.command ?? ownCommand(nodeProcess);
  const optionsPipe = prepareOptionsPipe(runtimeOptions);
  const starting = startProgram(
    command.file,
    [
      ...command.arguments,
      ...["-namespace", flags.namespace, "-id", flags.id, "-address", flags.address, "-socket", socket],
      ...(debug ? ["-debug"] : []),
    ],
    {
      cwd: bundle,
      detached: true,
      windowsHide: true,
      env: {
        ...{ ...withoutNodeVariables(nodeProcess.env), ...addresses, ...optionsPipe.variables },
        ...{ [readyDescriptorVariable]: "3", UV_THREADPOOL_SIZE: `${fileThreads}` },
      },
      // containerd reads the output of `start` until its last copy is closed, so the child must not inherit it.
      stdio: [optionsPipe.bytes === undefined ? "ignore" : "pipe", output, output, "pipe"],
    },
  );
  closeSync(output);
  let child: ChildProcess | undefined;
  try {
    child = await starting.catch((cause: Error) => {
      throw new Error(`cannot run the serving process: ${cause.message}`, { cause });
    });
    // A child that exits before it has read the options is reported by its exit.
    child.stdin?.on("error", () => {}).end(optionsPipe.bytes);
    await readiness(child, options.startMilliseconds ?? 10_000, options.clock ?? systemClock);
    return child.pid ?? 0;
  } catch (error) {
    // Until the child has exited its socket accepts connections, like that of another shim that was faster.
    if (child !== undefined) await settlesWithin(kill(child), killMilliseconds, options.clock ?? systemClock);
    throw error;
  } finally {
    child?.stdio[3]?.destroy();
    child?.stdin?.destroy();
    child?.unref();
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await exited;
}

/** Resolves once the serving process reports that it accepts connections; rejects when it exits or stays silent. */
function readiness(child: ChildProcess, milliseconds: number, clock: Clock): Promise<void> {
  const ready = child.stdio[3] as Readable;
  const readyOrGone = new Promise<void>((resolve, reject) => {
    ready.on("error", () => {});
    ready.once("data", () => resolve());
    child.once("exit", (code, signal) => {
      const how = code === null ? `was killed by ${signal}` : `exited with code ${code}`;
      reject(new Error(`the serving process ${how} before it accepted connections`));
    });
  });
  const error = (): Error => new Error(`the serving process did not accept connections within ${milliseconds} ms`);
  return withDeadline((until) => abortable(readyOrGone, until), { clock, milliseconds, error });
}

/** Reads standard input, unless it is a terminal, for a bounded time: some callers never close it. */
async function readInput(nodeProcess: NodeJS.Process, milliseconds: number): Promise<Buffer> {
  if (nodeProcess.stdin.isTTY) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let length = 0;
  // It ends a stream, not a wait for a promise: what has been read until then is kept.
  const timer = setTimeout(() => nodeProcess.stdin.destroy(), milliseconds);
  try {
    for await (const chunk of nodeProcess.stdin as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > longestStartInput) {
        throw new ShimError("InvalidArgument", `start: standard input exceeds ${longestStartInput} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    // The timer destroyed the stream: what has arrived counts as all.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}
