import path from "node:path";
import { reportOccurrence, settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import { describeError, printableMessage, ShimError } from "../errors.ts";
import { dumpState } from "../services/state-dump.ts";
import { ServedPod } from "../serving/served-pod.ts";
import { systemOf } from "../system/select-system.ts";
import type { AcceptingSocket } from "./accept.ts";
import type { ShimFlags } from "./flags.ts";
import { endWhenOrphaned, orphanMilliseconds } from "./orphan.ts";
import type { ShimOptions } from "./shim-options.ts";

/** Longer than all that has a limit of its own. */
const endMilliseconds = 10_000;

/**
 * The serving mode: loads services and platform for a socket that accepts connections already. Resolves once the shim has
 * shut down in order.
 */
export async function serve(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  { listener, identity, runtimeOptions, serveWith, dumpWith }: AcceptingSocket,
): Promise<void> {
  const clock = options.clock ?? systemClock;
  const bundle = path.resolve(flags.bundle === "" ? nodeProcess.cwd() : flags.bundle);
  const { id, namespace, socket } = flags;
  const system = systemOf(options);
  const log = system.openLog({ bundle, namespace, id, level: flags.debug ? "debug" : "info", clock });
  const { env } = nodeProcess;
  const { TTRPC_ADDRESS: ttrpcAddress = "", GRPC_ADDRESS: grpcAddress = "" } = env;
  const served = new ServedPod({
    ...{ flags, options, nodeProcess, bundle, socket, clock, system, log, runtimeOptions, identity },
    ...{ ttrpcAddress, grpcAddress },
  });
  dumpWith(() => dumpState(log, served.describe()));
  serveWith((connection) => served.accept(connection));
  await served.record();
  const { ShimTelemetry } = await import("../telemetry/shim-telemetry.ts");
  const telemetry = ShimTelemetry.wanted({ options, flags, env, log: served.log, clock });

  const crash = (error: unknown): void => {
    served.log.log("error", "shim failed", {
      error: describeError(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    served.crash(error);
    log.close();
    nodeProcess.stderr.write(`${options.name}: ${printableMessage(error)}\n`);
    nodeProcess.exit(1);
  };
  nodeProcess.on("uncaughtException", crash);
  const terminate = (signal: NodeJS.Signals): void => served.terminate(signal);
  nodeProcess.on("SIGTERM", terminate);
  nodeProcess.on("SIGINT", terminate);

  const orphan = new AbortController();
  try {
    const services = await served.load(telemetry?.stdio);
    telemetry?.begin(services);
    const end = (reason: string): void => served.end(reason);
    void endWhenOrphaned(services, options.orphanMilliseconds ?? orphanMilliseconds, clock, orphan.signal, end);
    const reason = await served.ended;
    served.log.log("info", "ending", { reason });
    reportOccurrence("ending", { reason });
    listener.close();
    const ending = (async () => {
      await served.close();
      await system.endPrograms(clock);
      await served.closeRecord();
    })();
    // The one who runs `delete` may have had its answer from the file, and nobody else ends a process that hangs.
    if (!(await settlesWithin(ending, endMilliseconds, clock))) {
      throw new ShimError("DeadlineExceeded", `the shim has not ended within ${endMilliseconds} ms`);
    }
    await ending;
    if (telemetry !== undefined) {
      // On Windows the folder of the bundle cannot be removed before the process has ended.
      if (served.isOrderly && process.platform !== "win32") served.leaveEnded(true);
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
