import type { ProcessControllerOptions } from "@uvm-shim/controller-process";
import type { PlatformContext } from "@uvm-shim/shim";

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

/** What is said about one sandbox and its processes, each line with its ids. */
export function createSandboxLogs(
  sandbox: string,
  { log, requestLog }: Pick<PlatformContext, "log" | "requestLog">,
): SandboxLogs {
  const warn: SandboxLogs["warn"] = (sentence, fields = {}) => log.log("warn", sentence, { sandbox, ...fields });
  return {
    warn,
    warnOfRequest: (sentence, fields = {}) => requestLog.log("warn", sentence, { sandbox, ...fields }),
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
