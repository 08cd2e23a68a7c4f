import { closeSync, openSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import { type Clock, settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import { ShimError } from "../errors.ts";
import { fileThreads } from "../system/file-calls.ts";
import { isAccepting, toldSocketDirectory } from "../system/socket.ts";
import { type ShimSystem, systemOf } from "../system/system.ts";
import { encodeReply, longestStartInput, parseStartInput, type ReplyDialect, type StartInput } from "./bootstrap.ts";
import { readConfiguration, sandboxIdOf } from "./bundle.ts";
import { findReplyDialect } from "./containerd-version.ts";
import { ownCommand, withoutRuntimes } from "./executable.ts";
import type { ShimFlags } from "./flags.ts";
import { optionsToGive } from "./handed-options.ts";
import { lastWords, stderrFile } from "./last-words.ts";
import type { ShimOptions } from "./options.ts";
import { readyVariable } from "./ready.ts";
import { readState, writeFileAtomically, writeState } from "./state-file.ts";

const killMilliseconds = 1000;

/** The action `start`: answers with what to write to standard output, once the socket accepts connections. */
export async function start(flags: ShimFlags, options: ShimOptions, host: NodeJS.Process): Promise<Buffer> {
  const bundle = path.resolve(flags.bundle === "" ? host.cwd() : flags.bundle);
  const input = parseStartInput(await readInput(host, options.inputMilliseconds ?? 5000), flags);
  const grpcAddress = grpcAddressOf(input, flags, host);
  const dialect: Promise<ReplyDialect> =
    input.dialect === "bootstrap" ? Promise.resolve({ kind: "protobuf" }) : findReplyDialect(host.env, grpcAddress);
  const system = systemOf(options);
  const directory =
    toldSocketDirectory(options, host.env) ?? ((input.dialect === "bootstrap" && input.socketDirectory) || undefined);
  const { address: containerdAddress, namespace } = flags;
  const socketOf = (id: string): string =>
    system.socketPath({ address: containerdAddress, namespace, id, ...(directory && { directory }) });
  const sandboxId = await namedSandbox(bundle);
  let socket: string;
  if (sandboxId !== undefined && sandboxId !== flags.id) {
    // Bundles of one namespace lie side by side.
    socket = readState(path.join(path.dirname(bundle), sandboxId))?.socket ?? socketOf(sandboxId);
    await join(flags, sandboxId, socket, bundle);
  } else {
    socket = socketOf(flags.id);
    await startServing(flags, options, host, { bundle, socket, input, system });
  }
  const address = system.address(socket);
  // containerd 1.6 and 1.7 find the shim by this file after a restart.
  writeFileAtomically(path.join(bundle, "address"), address);
  return encodeReply(await dialect, address);
}

/** Of containerd, which a serving shim asks too. */
function grpcAddressOf(input: StartInput, flags: ShimFlags, host: NodeJS.Process): string {
  const told = input.dialect === "bootstrap" ? input.grpcAddress : host.env.GRPC_ADDRESS;
  return told || flags.address;
}

/** A config.json that cannot be understood is Create's to refuse: only there the error has a code. */
async function namedSandbox(bundle: string): Promise<string | undefined> {
  try {
    return sandboxIdOf((await readConfiguration(bundle))?.annotations ?? {});
  } catch {
    return undefined;
  }
}

/** Joins the sandbox's own shim, which serves this container too. */
async function join(flags: ShimFlags, sandboxId: string, socket: string, bundle: string): Promise<void> {
  if (!(await isAccepting(socket))) {
    throw new ShimError(
      "Unavailable",
      `start ${flags.id}: the shim of its sandbox ${sandboxId} is not serving ${socket}`,
    );
  }
  writeState(bundle, { kind: "member", id: flags.id, namespace: flags.namespace, socket, sandboxId });
}

async function startServing(
  flags: ShimFlags,
  options: ShimOptions,
  host: NodeJS.Process,
  target: { readonly bundle: string; readonly socket: string; readonly input: StartInput; readonly system: ShimSystem },
): Promise<void> {
  const { bundle, socket, input, system } = target;
  await system.prepareSocket(socket);
  if (await isAccepting(socket)) {
    throw new ShimError("AlreadyExists", `start ${flags.id}: its shim is running and serves ${socket}`);
  }
  writeState(bundle, {
    kind: "starting",
    id: flags.id,
    namespace: flags.namespace,
    socket,
  });
  const output = openSync(stderrFile(bundle), "w", 0o600);
  const command = options.command ?? ownCommand(host);
  const debug = flags.debug || (input.dialect === "bootstrap" && input.debug);
  const ttrpcAddress = (input.dialect === "bootstrap" && input.ttrpcAddress) || host.env.TTRPC_ADDRESS || "";
  const addresses = { TTRPC_ADDRESS: ttrpcAddress, GRPC_ADDRESS: grpcAddressOf(input, flags, host) };
  const given = optionsToGive(input.runtimeOptions);
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
        ...{ ...withoutRuntimes(host.env), ...addresses, ...given.variables },
        ...{ [readyVariable]: "3", UV_THREADPOOL_SIZE: `${fileThreads}` },
      },
      // Nothing of containerd's is inherited: it reads the output of start until the last copy of it is closed.
      stdio: [given.bytes === undefined ? "ignore" : "pipe", output, output, "pipe"],
    },
  );
  closeSync(output);
  let child: ChildProcess | undefined;
  try {
    child = await starting.catch((cause: Error) => {
      throw new Error(`the serving process cannot be run: ${cause.message}`, { cause });
    });
    // One that ends before it has read them tells why by its end.
    child.stdin?.on("error", () => {}).end(given.bytes);
    await readiness(child, options.startMilliseconds ?? 10_000, options.clock ?? systemClock);
    writeFileAtomically(path.join(bundle, "shim.pid"), `${child.pid}`);
  } catch (error) {
    // Not before it is gone: its socket accepts until then, and may as well be that of another which was faster.
    if (child !== undefined) await settlesWithin(kill(child), killMilliseconds, options.clock ?? systemClock);
    await system.removeDeadSocket(socket);
    const words = lastWords(bundle);
    const reason = (error as Error).message;
    throw new ShimError("Unavailable", `start ${flags.id}: ${reason}${words === "" ? "" : `: ${words}`}`, {
      cause: error,
    });
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

/** Resolves when the serving process has said that it accepts; rejects when it ends or stays silent. */
function readiness(child: ChildProcess, milliseconds: number, clock: Clock): Promise<void> {
  const ready = child.stdio[3] as Readable;
  return new Promise((resolve, reject) => {
    const settled = new AbortController();
    clock.delay(milliseconds, settled.signal).then(
      () => reject(new Error(`the serving process did not accept connections in ${milliseconds} ms`)),
      () => {},
    );
    const settle = (error?: Error): void => {
      settled.abort();
      if (error === undefined) resolve();
      else reject(error);
    };
    ready.on("error", () => {});
    ready.once("data", () => settle());
    child.once("exit", (code, signal) => {
      const how = code === null ? `was killed by ${signal}` : `exited with code ${code}`;
      settle(new Error(`the serving process ${how} before it accepted connections`));
    });
  });
}

/** All of standard input; nothing from a terminal, and no waiting for ever for one that nobody closes. */
async function readInput(host: NodeJS.Process, milliseconds: number): Promise<Buffer> {
  if (host.stdin.isTTY) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let length = 0;
  // Ends a stream, not a wait for a promise: what has been read until then is kept.
  const timer = setTimeout(() => host.stdin.destroy(), milliseconds);
  try {
    for await (const chunk of host.stdin as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > longestStartInput) {
        throw new ShimError("InvalidArgument", `standard input of start is longer than ${longestStartInput} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    // Destroyed by the timer: what has come is all there is.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}
