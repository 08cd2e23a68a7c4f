import path from "node:path";
import { settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import { describeError, ShimError, shownMessage } from "../errors.ts";
import type { Platform } from "../platform.ts";
import type { Services } from "../services/services.ts";
import { dumpState } from "../services/state-dump.ts";
import type { LogLevel } from "../system/log.ts";
import { systemOf } from "../system/system.ts";
import { sparesCompletedPods } from "./containerd-version.ts";
import type { ShimFlags } from "./flags.ts";
import { givenOptions } from "./handed-options.ts";
import type { ShimOptions } from "./options.ts";
import { endWhenOrphaned } from "./orphan.ts";
import { platformContext } from "./platform-context.ts";
import { tellStart } from "./ready.ts";
import { lingerFrom } from "./retirement.ts";
import { type ShimState, writeState } from "./state-file.ts";

const closeMilliseconds = 2000;
const terminateMilliseconds = 12_000;
/** What clients have to delete what is theirs when the sandbox has been ended on a signal. */
const clientsMilliseconds = 1000;

/**
 * The serving mode: accepts connections as its first act, so that `start` can answer, and loads services and platform
 * while containerd is on its way to the socket. Resolves when the shim has ended in order.
 */
export async function serve(flags: ShimFlags, options: ShimOptions, host: NodeJS.Process): Promise<void> {
  if (flags.socket === "") throw new ShimError("InvalidArgument", "flag -socket is missing; start passes it");
  const clock = options.clock ?? systemClock;
  const bundle = path.resolve(flags.bundle === "" ? host.cwd() : flags.bundle);
  const { id, namespace, socket } = flags;
  const system = systemOf(options);
  const log = system.openLog({ bundle, namespace, id, level: flags.debug ? "debug" : "info", clock });
  let loaded: Services | undefined;
  // Before anything is waited for, and for as long as the process lives: without a listener the signal opens a debugger.
  if (process.platform !== "win32") host.on("SIGUSR1", () => dumpState(log, loaded?.describe() ?? []));
  const ended = Promise.withResolvers<string>();
  const services = Promise.withResolvers<Services>();
  const runtimeOptions = givenOptions(host);
  const listener = await system.listen(socket, (connection) => {
    connection.on("error", () => {});
    services.promise.then(
      (loaded) => loaded.serve(connection),
      () => connection.destroy(),
    );
  });
  const identity = { pid: host.pid, processStartTime: (await system.processStartTime(host.pid)) ?? "" };
  writeState(bundle, { kind: "serving", id, namespace, socket, ...identity });
  tellStart(host);

  let ending = false;
  const leave = (state: ShimState): void => {
    try {
      writeState(bundle, state);
    } catch (error) {
      // A bundle that is gone has nobody left to read it. Without it `delete` looks for what there is no more.
      const isGone = (error as NodeJS.ErrnoException).code === "ENOENT";
      log.log(isGone ? "debug" : "warn", "state not written", { error: describeError(error) });
    }
  };
  const handOver = (): void => leave({ kind: "member", id, namespace, socket, sandboxId: id });
  const end = (reason: string): void => {
    if (ending) return;
    ending = true;
    // Before the answer is given: containerd runs `delete` right after it, which then has nothing to look for.
    leave({ kind: "ended", id, namespace, socket, ...identity });
    ended.resolve(reason);
  };
  const crash = (error: unknown): void => {
    log.log("error", "shim failed", {
      error: describeError(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    loaded?.destroy();
    log.close();
    host.stderr.write(`${options.name}: ${shownMessage(error)}\n`);
    host.exit(1);
  };
  host.on("uncaughtException", crash);
  const terminate = (signal: NodeJS.Signals): void => {
    log.log("warn", "ending on a signal", { signal });
    const stopped = loaded === undefined ? Promise.resolve() : loaded.stopAll(clientsMilliseconds);
    stopped.then(
      () => end(signal),
      (error: unknown) => {
        log.log("error", "sandbox not stopped", { error: describeError(error) });
        // Without the mark of an orderly end, so that `delete` removes what is left.
        ended.resolve(signal);
      },
    );
    void settlesWithin(stopped, terminateMilliseconds, clock).then(() => ended.resolve(signal));
  };
  host.on("SIGTERM", terminate);
  host.on("SIGINT", terminate);

  const setLogLevel = (level: LogLevel): void => log.setLevel(level);
  const context = { ...platformContext({ options, host, log, namespace, clock, system, runtimeOptions }), setLogLevel };
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
    loaded = createServices({
      shimId: id,
      namespace,
      bundle,
      pid: host.pid,
      version: options.version,
      ...(runtimeOptions === undefined ? {} : { runtimeOptions }),
      ttrpcAddress: host.env.TTRPC_ADDRESS ?? "",
      platform: loadPlatform,
      log,
      clock,
      isDispensable: () => sparesCompletedPods(host.env.GRPC_ADDRESS ?? ""),
      lingerMilliseconds: lingerFrom(host.env.UVM_SHIM_LINGER_MS, log),
      end,
      handOver,
    });
    services.resolve(loaded);
    log.log("info", "serving", { socket, pid: host.pid, version: options.version });
    // Loaded ahead of the first request; a failure is that request's to report.
    loadPlatform().catch((error: unknown) => log.log("error", "platform not loaded", { error: describeError(error) }));
    void endWhenOrphaned(loaded, options.orphanMilliseconds ?? 60_000, clock, orphan.signal, end);
    const reason = await ended.promise;
    log.log("info", "ending", { reason });
    listener.close();
    await loaded.close(closeMilliseconds);
    await closePlatform(platform);
    await system.endPrograms(clock);
  } catch (error) {
    crash(error);
    throw error;
  } finally {
    orphan.abort(new ShimError("Cancelled", "the shim has ended"));
    host.removeListener("uncaughtException", crash);
    host.removeListener("SIGTERM", terminate);
    host.removeListener("SIGINT", terminate);
    listener.close();
    log.close();
  }
}

async function closePlatform(platform: Promise<Platform> | undefined): Promise<void> {
  await (await platform?.catch(() => undefined))?.close();
}
