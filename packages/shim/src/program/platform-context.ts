import type { Clock } from "@uvm-shim/lifecycle";
import type { ReadyVms } from "../ready-vms.ts";
import { LimitedLog, requestAllowance } from "../system/limited-log.ts";
import type { ShimLog, ShimSystem } from "../system/system.ts";
import type { QueuedStdio } from "../telemetry/queued-stdio.ts";
import type { RuntimeOptions } from "./bootstrap.ts";
import { ownFolder } from "./executable.ts";
import type { PlatformContext, ShimOptions } from "./shim-options.ts";

/** What a platform gets from the program that loads it. */
export function platformContext(parts: {
  readonly options: ShimOptions;
  readonly nodeProcess: NodeJS.Process;
  readonly log: ShimLog;
  /** Takes the lines from or about the guest; `log` if absent. */
  readonly guestLog?: ShimLog;
  readonly namespace: string;
  readonly clock: Clock;
  readonly system: ShimSystem;
  readonly runtimeOptions?: RuntimeOptions | undefined;
  readonly servesOnePod: boolean;
  readonly readyVms?: ReadyVms | undefined;
  /** Absent where nobody wants to know. */
  readonly queuedStdio?: QueuedStdio | undefined;
}): PlatformContext {
  const {
    options,
    nodeProcess,
    log,
    guestLog = log,
    namespace,
    clock,
    system,
    runtimeOptions,
    queuedStdio,
    servesOnePod,
    readyVms,
  } = parts;
  const retryMilliseconds = async (): Promise<number> => {
    if (runtimeOptions === undefined) return 0;
    const { decodeRuntimeOptions } = await import("./runtime-options.ts");
    return ((await decodeRuntimeOptions(runtimeOptions)).ioRetryTimeoutInSec ?? 0) * 1000;
  };
  const upstreamStdio = system.stdio({ namespace, clock, retryMilliseconds, loadLinuxCalls: options.loadLinuxCalls });
  return {
    log,
    guestLog: new LimitedLog({ log: guestLog, clock, subject: "from or about the guest" }),
    requestLog: new LimitedLog({ log, clock, subject: "about requests", allowance: requestAllowance }),
    upstreamStdio: queuedStdio?.watch(upstreamStdio) ?? upstreamStdio,
    env: nodeProcess.env,
    namespace,
    servesOnePod,
    ...(readyVms && { readyVms }),
    executableDirectory: options.executableDirectory ?? ownFolder(nodeProcess),
  };
}
