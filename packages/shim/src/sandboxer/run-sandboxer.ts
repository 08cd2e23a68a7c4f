import { mkdirSync } from "node:fs";
import { systemClock } from "@uvm-shim/lifecycle";
import { describeError, printableMessage, ShimError } from "../errors.ts";
import { checkEnvironment } from "../program/environment.ts";
import type { SandboxerFlags } from "../program/flags.ts";
import { controlOf } from "../program/sandboxer-address.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { dumpState } from "../services/state-dump.ts";
import { fileThreads } from "../system/file-calls.ts";
import { SharedLog, standardError } from "../system/log-stderr.ts";
import { systemOf } from "../system/select-system.ts";
import type { Listener } from "../system/system.ts";
import { serveController } from "./controller-grpc.ts";
import { Sandboxer } from "./sandboxer.ts";
import { readSettings } from "./settings.ts";

/** How long calls that are under way may go on when the sandboxer ends. */
const closeMilliseconds = 2000;

/**
 * The action `sandboxer`: one process that serves all pods of the machine. containerd asks it for sandboxes by gRPC, and
 * each pod's own socket for containers, as it asks a shim. Resolves once it has been told to end, and has.
 */
export async function runSandboxer(
  flags: SandboxerFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
): Promise<void> {
  const { env, pid } = nodeProcess;
  const { loadGrpc } = options;
  if (loadGrpc === undefined) throw new ShimError("Internal", "this shim cannot speak gRPC: loadGrpc is missing");
  checkEnvironment(env);
  await options.checkHost?.(env);
  env.UV_THREADPOOL_SIZE ??= `${fileThreads}`;
  const clock = options.clock ?? systemClock;
  const settings = await readSettings(flags, options.flavour, clock);
  const system = systemOf(options);
  const sink = standardError();
  const log = new SharedLog({ sink, clock, level: settings.level });
  const control = controlOf(settings.socket);
  const identity = { pid, processStartTime: (await system.processStartTime(pid)) ?? "" };
  const sandboxer = new Sandboxer({
    ...{ settings, options, nodeProcess, clock, system, identity, control, log },
    logOf: (fields, level) => new SharedLog({ sink, clock, level, fields: { ...fields } }),
  });
  if (process.platform !== "win32") nodeProcess.on("SIGUSR1", () => dumpState(log, sandboxer.describe()));

  const ended = Promise.withResolvers<string>();
  const crash = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.log("error", "sandboxer failed", { error: describeError(error), stack });
    nodeProcess.stderr.write(`${options.name}: ${printableMessage(error)}\n`);
    nodeProcess.exit(1);
  };
  const terminate = (signal: NodeJS.Signals): void => ended.resolve(signal);
  nodeProcess.on("uncaughtException", crash);
  nodeProcess.on("SIGTERM", terminate);
  nodeProcess.on("SIGINT", terminate);
  const listeners: Listener[] = [];
  try {
    const grpc = serveController(await loadGrpc(), sandboxer.controller, log);
    mkdirSync(settings.state, { recursive: true, mode: 0o700 });
    await system.prepareSocket(settings.socket);
    // Whoever serves these sockets owns the state folder too, so it is looked at only then.
    listeners.push(await system.listen(control, (connection) => void sandboxer.control.serve(connection)));
    const { count: lost } = sandboxer.takeOverLost();
    listeners.push(await system.listen(settings.socket, (connection) => grpc.accept(connection)));
    log.log("info", "serving", { socket: settings.socket, pid, version: options.version, lost });
    void sandboxer.fillPool();
    const reason = await ended.promise;
    log.log("info", "ending", { reason, pods: sandboxer.size, drain: settings.drain });
    for (const listener of listeners) listener.close();
    sandboxer.closeDoor();
    await Promise.all([sandboxer.closePool(), settings.drain ? sandboxer.drain(reason) : undefined]);
    await grpc.close(closeMilliseconds);
    sandboxer.control.destroy();
    if (settings.drain) await system.endPrograms(clock);
  } finally {
    nodeProcess.removeListener("uncaughtException", crash);
    nodeProcess.removeListener("SIGTERM", terminate);
    nodeProcess.removeListener("SIGINT", terminate);
    for (const listener of listeners) listener.close();
    log.close();
  }
}
