import path from "node:path";
import { reportOccurrence, settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import { describeError, printableMessage, ShimError } from "../errors.ts";
import type { LogLevel, Platform } from "../platform.ts";
import type { Services } from "../services/services.ts";
import { dumpState } from "../services/state-dump.ts";
import { systemOf } from "../system/select-system.ts";
import { sparesCompletedPods } from "./containerd-version.ts";
import { ownFolder } from "./executable.ts";
import type { ShimFlags } from "./flags.ts";
import { readOptionsPipe } from "./options-pipe.ts";
import { endWhenOrphaned } from "./orphan.ts";
import { platformContext } from "./platform-context.ts";
import { reportReady } from "./readiness.ts";
import { lingerFrom } from "./retirement.ts";
import type { ShimOptions } from "./shim-options.ts";
import { type ShimState, writeState } from "./state-file.ts";

const closeMilliseconds = 2000;
const terminateMilliseconds = 12_000;
/** How long clients have to delete their tasks after a signal has stopped the sandbox. */
const clientsMilliseconds = 1000;

/**
 * The serving mode. Accepts connections first, so that `start` can reply, and loads services and platform while
 * containerd connects. Resolves once the shim has shut down in order.
 */
export async function serve(flags: ShimFlags, options: ShimOptions, nodeProcess: NodeJS.Process): Promise<void> {
  if (flags.socket === "")
    throw new ShimError("InvalidArgument", "flag -socket is missing: start passes it to the serving process");
  const clock = options.clock ?? systemClock;
  const bundle = path.resolve(flags.bundle === "" ? nodeProcess.cwd() : flags.bundle);
  const { id, namespace, socket } = flags;
  const system = systemOf(options);
  const ownLog = system.openLog({ bundle, namespace, id, level: flags.debug ? "debug" : "info", clock });
  let loaded: Services | undefined;
  // Registered before the first await and never removed: without a listener, the signal opens Node's debugger.
  if (process.platform !== "win32") nodeProcess.on("SIGUSR1", () => dumpState(ownLog, loaded?.describe() ?? []));
  const ended = Promise.withResolvers<string>();
  const services = Promise.withResolvers<Services>();
  const runtimeOptions = readOptionsPipe(nodeProcess);
  const listener = await system.listen(socket, (connection) => {
    connection.on("error", () => {});
    services.promise.then(
      (loaded) => loaded.serve(connection),
      () => connection.destroy(),
    );
  });
  const identity = { pid: nodeProcess.pid, processStartTime: (await system.processStartTime(nodeProcess.pid)) ?? "" };
  writeState(bundle, { kind: "serving", id, namespace, socket, ...identity });
  reportReady(nodeProcess);
  const { PodRecord } = await import("../record/pod-record.ts");
  const { ShimTelemetry } = await import("../telemetry/shim-telemetry.ts");
  const { env } = nodeProcess;
  const installed = options.executableDirectory ?? ownFolder(nodeProcess);
  const pod = { flags, options, env, installed, bundle, socket, identity, clock, system };
  const record = new PodRecord(pod, ownLog);
  const { log } = record;
  const telemetry = ShimTelemetry.wanted({ options, flags, env, log, clock });

  let ending = false;
  const leave = (state: ShimState): void => {
    try {
      writeState(bundle, state);
    } catch (error) {
      // Nobody reads the state of a bundle that is gone. Without the state, `delete` repeats the cleanup.
      const isGone = (error as NodeJS.ErrnoException).code === "ENOENT";
      log.log(isGone ? "debug" : "warn", "cannot write the state file", { error: describeError(error) });
    }
  };
  const handOver = (): void => leave({ kind: "member", id, namespace, socket, sandboxId: id });
  const end = (reason: string): void => {
    if (ending) return;
    ending = true;
    // Written before the response is sent: containerd then runs `delete`, which reads it and skips the cleanup.
    leave({ kind: "ended", id, namespace, socket, ...identity });
    ended.resolve(reason);
  };
  const crash = (error: unknown): void => {
    log.log("error", "shim failed", {
      error: describeError(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    loaded?.destroy();
    record.crashed(error);
    log.close();
    nodeProcess.stderr.write(`${options.name}: ${printableMessage(error)}\n`);
    nodeProcess.exit(1);
  };
  nodeProcess.on("uncaughtException", crash);
  const terminate = (signal: NodeJS.Signals): void => {
    log.log("warn", "stopping on a signal", { signal });
    reportOccurrence("signal", { signal });
    const stopped = loaded === undefined ? Promise.resolve() : loaded.stopAll(clientsMilliseconds);
    stopped.then(
      () => end(signal),
      (error: unknown) => {
        log.log("error", "cannot stop the sandbox", { error: describeError(error) });
        // The state stays `serving`, so that `delete` removes what is left.
        ended.resolve(signal);
      },
    );
    void settlesWithin(stopped, terminateMilliseconds, clock).then(() => ended.resolve(signal));
  };
  nodeProcess.on("SIGTERM", terminate);
  nodeProcess.on("SIGINT", terminate);

  const setLogLevel = (level: LogLevel): void => log.setLevel(level);
  const context = {
    ...platformContext({
      ...{ options, nodeProcess, log, guestLog: log.ofGuest, namespace, clock, system, runtimeOptions },
      queuedStdio: telemetry?.stdio,
    }),
    setLogLevel,
  };
  let platform: Promise<Platform> | undefined;
  const loadPlatform = (): Promise<Platform> => {
    platform ??= options.loadPlatform(context).catch((error: unknown) => {
      platform = undefined;
      throw error;
    });
    return platform;
  };
  const orphan = new AbortController();
  try {
    const { createServices } = await import("../services/services.ts");
    const { randomUUID } = await import("node:crypto");
    loaded = createServices({
      name: options.name,
      shimId: id,
      namespace,
      bundle,
      pid: nodeProcess.pid,
      version: options.version,
      ...(runtimeOptions === undefined ? {} : { runtimeOptions }),
      ttrpcAddress: nodeProcess.env.TTRPC_ADDRESS ?? "",
      platform: loadPlatform,
      newActivityId: randomUUID,
      records: record.recorder,
      log,
      clock,
      isDispensable: () => sparesCompletedPods(nodeProcess.env.GRPC_ADDRESS ?? ""),
      lingerMilliseconds: lingerFrom(nodeProcess.env.UVM_SHIM_LINGER_MS, log),
      end,
      handOver,
    });
    services.resolve(loaded);
    log.log("info", "serving", { socket, pid: nodeProcess.pid, version: options.version });
    // Loaded before the first request, which reports a failure to its caller.
    loadPlatform().catch((error: unknown) =>
      log.log("error", "cannot load the platform", { error: describeError(error) }),
    );
    telemetry?.begin(loaded);
    void endWhenOrphaned(loaded, options.orphanMilliseconds ?? 60_000, clock, orphan.signal, end);
    const reason = await ended.promise;
    log.log("info", "ending", { reason });
    reportOccurrence("ending", { reason });
    listener.close();
    await loaded.close(closeMilliseconds);
    await closePlatform(platform);
    await system.endPrograms(clock);
    await record.end(ending);
    if (telemetry !== undefined) {
      // On Windows the folder of the bundle cannot be removed before the process has ended.
      const isReleased = ending && process.platform !== "win32";
      if (isReleased) leave({ kind: "ended", id, namespace, socket, ...identity, isReleased });
      await telemetry.stop();
    }
  } catch (error) {
    crash(error);
    throw error;
  } finally {
    orphan.abort(new ShimError("Cancelled", "the shim has ended"));
    nodeProcess.removeListener("uncaughtException", crash);
    nodeProcess.removeListener("SIGTERM", terminate);
    nodeProcess.removeListener("SIGINT", terminate);
    listener.close();
    log.close();
  }
}

async function closePlatform(platform: Promise<Platform> | undefined): Promise<void> {
  await (await platform?.catch(() => undefined))?.close();
}
