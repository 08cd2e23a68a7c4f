import type { ProcessControllerOptions } from "@uvm-shim/controller-process";
import type { PlatformContext } from "@uvm-shim/shim";
import { applyLogLevel } from "./log-level.ts";

/** The longest delay of a timer, about 25 days. */
const longestDelayMs = 2 ** 31 - 1;

const unreportedExits = {
  gone: "process is gone but the guest has not reported its exit: another process may hold its output open",
  "kill without effect": "treating process as killed: the guest accepted its kill but has not reported its exit",
} as const;

type ProcessNotices = Pick<ProcessControllerOptions, "clientPatience" | "onUnreportedExit">;
type ProcessIds = Pick<ProcessControllerOptions, "containerId" | "execId">;

/** What a sandbox warns of, with its id. */
export interface SandboxLogs {
  warn(sentence: string, fields?: { readonly [key: string]: unknown }): void;
  /** About what a client asks for, within a bound. */
  warnOfRequest(sentence: string, fields?: { readonly [key: string]: unknown }): void;
  /** How long a process waits for a client that does not read, and what is said about its end. */
  noticesOf(ids: ProcessIds, ioRetrySeconds: number | undefined): ProcessNotices;
}

/** What a sandbox's request says about its log, and what there is to say about the request. */
export interface RequestNotices {
  readonly logLevel: string | undefined;
  readonly warnings: readonly string[];
}

/** What is said about one sandbox and its processes, each line with its ids. Applies the request's log level, and logs its warnings. */
export function createSandboxLogs(
  sandbox: string,
  context: Pick<PlatformContext, "log" | "requestLog" | "setLogLevel">,
  { logLevel, warnings }: RequestNotices,
): SandboxLogs {
  const { log, requestLog } = context;
  applyLogLevel(logLevel, context);
  const warn: SandboxLogs["warn"] = (sentence, fields = {}) => log.log("warn", sentence, { sandbox, ...fields });
  const warnOfRequest: SandboxLogs["warn"] = (sentence, fields = {}) =>
    requestLog.log("warn", sentence, { sandbox, ...fields });
  for (const warning of warnings) warnOfRequest(warning);
  return {
    warn,
    warnOfRequest,
    noticesOf: ({ containerId: container, execId: exec }, ioRetrySeconds) => ({
      onUnreportedExit: (why) => warn(unreportedExits[why], { container, exec }),
      clientPatience:
        ioRetrySeconds === undefined
          ? undefined
          : {
              milliseconds: Math.min(ioRetrySeconds * 1000, longestDelayMs),
              onGivenUp: () =>
                warn(`output lost: its client has read nothing for ${ioRetrySeconds} s`, { container, exec }),
            },
    }),
  };
}
