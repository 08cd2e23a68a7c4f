import path from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { describeError, printableMessage, ShimError } from "../errors.ts";
import { checkEnvironment } from "../program/environment.ts";
import type { SandboxerFlags } from "../program/flags.ts";
import { exitCodes, Refusal } from "../program/refusal.ts";
import { controlOf } from "../program/sandboxer-address.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { dumpState } from "../services/state-dump.ts";
import { fileThreads } from "../system/file-calls.ts";
import { fileSink } from "../system/log-file.ts";
import { type LineSink, podLines, SharedLog, standardError } from "../system/log-stderr.ts";
import { systemOf } from "../system/select-system.ts";
import type { Listener, ShimSystem, SystemService } from "../system/system.ts";
import { SandboxerTelemetry } from "../telemetry/sandboxer-telemetry.ts";
import { serveController } from "./controller-grpc.ts";
import { listenInherited, takeInheritedSockets } from "./inherited-sockets.ts";
import { Sandboxer } from "./sandboxer.ts";
import { readSettings, serviceLog } from "./settings.ts";
import { claimState } from "./state-owner.ts";

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
  const system = systemOf(options);
  if (!flags.service) {
    const sink = flags.logFile === undefined ? standardError() : fileSink(flags.logFile);
    return await serveAll(flags, options, nodeProcess, { system, sink });
  }
  const service = await system.enterService();
  let sink: LineSink | undefined;
  try {
    sink = await openServiceLog(flags, options, system);
    await serveAll(flags, options, nodeProcess, { system, sink, service });
    service.stopped(exitCodes.done);
  } catch (error) {
    // A service has no standard error.
    const clock = options.clock ?? systemClock;
    if (sink) new SharedLog({ sink, clock, level: "info" }).log("error", "cannot run", { error: describeError(error) });
    // What ends without a report is started again.
    if (error instanceof Refusal) service.stopped(exitCodes.refused);
    nodeProcess.exit(exitCodes.failed);
  }
}

async function openServiceLog(flags: SandboxerFlags, options: ShimOptions, system: ShimSystem): Promise<LineSink> {
  if (flags.logFile !== undefined) return fileSink(flags.logFile);
  const file = serviceLog(options.flavour);
  await system.makePrivateFolder(path.dirname(file));
  return fileSink(file);
}

async function serveAll(
  flags: SandboxerFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  host: { readonly system: ShimSystem; readonly sink: LineSink; readonly service?: SystemService },
): Promise<void> {
  const { system, sink, service } = host;
  const { env, pid } = nodeProcess;
  const { loadGrpc } = options;
  if (loadGrpc === undefined) throw new ShimError("Internal", "this shim cannot speak gRPC: loadGrpc is missing");
  checkEnvironment(env);
  await options.checkHost?.(env);
  env.UV_THREADPOOL_SIZE ??= `${fileThreads}`;
  const clock = options.clock ?? systemClock;
  const settings = await readSettings(flags, options.flavour, clock);
  const log = new SharedLog({ sink, clock, level: settings.level });
  const control = controlOf(settings.socket);
  const inherited = takeInheritedSockets(env, pid, [control, settings.socket]);
  const listen: ShimSystem["listen"] = async (socket, onConnection) => {
    const descriptor = inherited.get(socket);
    return descriptor === undefined
      ? await listenAlone(system, socket, onConnection)
      : await listenInherited(descriptor, onConnection);
  };
  const identity = { pid, processStartTime: (await system.processStartTime(pid)) ?? "" };
  const telemetry = SandboxerTelemetry.wanted({ options, env, socket: settings.socket, log, clock });
  const sandboxer = new Sandboxer({
    ...{ settings, options, nodeProcess, clock, system, identity, control, log, telemetry },
    logOf: (fields, level) => new SharedLog({ sink, clock, level, fields: { ...fields }, bounds: podLines }),
  });
  if (process.platform !== "win32") nodeProcess.on("SIGUSR1", () => dumpState(log, sandboxer.describe()));

  const ended = Promise.withResolvers<string>();
  const crash = (error: unknown): void => {
    if (sandboxer.fail(error)) return;
    const stack = error instanceof Error ? error.stack : undefined;
    log.log("error", "sandboxer failed", { error: describeError(error), stack });
    nodeProcess.stderr.write(`${options.name}: ${printableMessage(error)}\n`);
    nodeProcess.exit(1);
  };
  let isEnding = false;
  const terminate = (signal: NodeJS.Signals): void => {
    if (isEnding) {
      log.log("warn", "ending at once, on a second signal", { reason: signal, pods: sandboxer.size });
      nodeProcess.exit(exitCodes.failed);
    }
    isEnding = true;
    ended.resolve(signal);
  };
  const hangUp = (): void =>
    log.log("warn", "nothing is read again on a signal: expected a restart", { signal: "SIGHUP" });
  nodeProcess.on("uncaughtException", crash);
  nodeProcess.on("SIGTERM", terminate);
  nodeProcess.on("SIGINT", terminate);
  nodeProcess.on("SIGHUP", hangUp);
  void service?.stopRequested.then((reason) => ended.resolve(reason));
  const listeners: Listener[] = [];
  let state: { release(): void } | undefined;
  try {
    const grpc = serveController(await loadGrpc(), sandboxer.controller, log);
    await system.makePrivateFolder(settings.state);
    await system.prepareSocket(settings.socket);
    // Whoever serves these sockets owns the state folder too, so it is looked at only then.
    listeners.push(await listen(control, (connection) => void sandboxer.control.serve(connection)));
    state = await claimState({ folder: settings.state, identity, socket: settings.socket }, system);
    const { count: lost } = sandboxer.takeOverLost();
    listeners.push(await listen(settings.socket, (connection) => grpc.accept(connection)));
    service?.running();
    const { socket, containerd } = settings;
    log.log("info", "serving", { socket, pid, version: options.version, lost, containerd });
    telemetry?.begin();
    void sandboxer.fillPool();
    const reason = await ended.promise;
    service?.stopping();
    log.log("info", "ending", { reason, pods: sandboxer.size, drain: settings.drain });
    for (const listener of listeners) listener.close();
    sandboxer.closeDoor();
    await Promise.all([sandboxer.closePool(), settings.drain ? sandboxer.drain(reason) : undefined]);
    await grpc.close(closeMilliseconds);
    sandboxer.control.destroy();
    if (settings.drain) await system.endPrograms(clock);
    await telemetry?.stop();
  } finally {
    nodeProcess.removeListener("uncaughtException", crash);
    nodeProcess.removeListener("SIGTERM", terminate);
    nodeProcess.removeListener("SIGINT", terminate);
    nodeProcess.removeListener("SIGHUP", hangUp);
    for (const listener of listeners) listener.close();
    state?.release();
    log.close();
  }
}

/** A sandboxer cannot be asked to give way, as a shim can by the deletion of its pod. */
async function listenAlone(
  system: ShimSystem,
  socket: string,
  onConnection: Parameters<ShimSystem["listen"]>[1],
): Promise<Listener> {
  try {
    return await system.listen(socket, onConnection);
  } catch (error) {
    if (!(error instanceof ShimError) || error.code !== "AlreadyExists") throw error;
    throw new ShimError("AlreadyExists", `another process serves ${socket}: expected no other sandboxer there`, {
      cause: error,
    });
  }
}
