import { readFile, statfs } from "node:fs/promises";
import { connect } from "node:net";
import type { HeaderLine } from "@uvm-shim/shim/record";

export interface SocketFact {
  readonly path: string;
  readonly accepts: boolean;
}

/** What the machine shows of what a pod depends on. */
export interface MachineFacts {
  /** Of the host service; absent where that is no socket. */
  readonly hostSocket?: SocketFact;
  /** At which containerd takes events; absent if it takes none. */
  readonly eventSocket?: SocketFact;
  /** What the shim's process does, as a predicate; absent where there is no such process, or no /proc. */
  readonly processState?: string;
  /** Bytes that are free where the bundle is; absent if the bundle is gone. */
  readonly freeBytes?: number;
}

/** How the machine is looked at. */
export interface Machine {
  accepts(socket: string): Promise<boolean>;
  /** Undefined for a path that is gone. */
  freeBytes(path: string): Promise<number | undefined>;
  /** The file `stat` of a process in /proc; undefined without one. */
  processStat(pid: number): Promise<string | undefined>;
}

export const defaultHostSocket = "/run/uvm-shim-host/host.sock";

export async function gatherFacts(
  header: Pick<HeaderLine, "host" | "events" | "bundle" | "pid" | "processStartTime">,
  machine: Machine = thisMachine,
  platform: NodeJS.Platform = process.platform,
): Promise<MachineFacts> {
  // On Windows the host is the system's own, which has no socket.
  const usual = platform === "win32" ? undefined : defaultHostSocket;
  const hostPath = header.host === "" ? usual : /^unix:(\/.*)$/.exec(header.host)?.[1];
  const eventPath = header.events.replace(/^unix:\/\//, "");
  const socket = async (path: string): Promise<SocketFact> => ({ path, accepts: await machine.accepts(path) });
  const freeBytes = await machine.freeBytes(header.bundle);
  const state = stateIn(await machine.processStat(header.pid), header.processStartTime);
  return {
    ...(state !== undefined && { processState: state }),
    ...(hostPath !== undefined && { hostSocket: await socket(hostPath) }),
    ...(eventPath !== "" && { eventSocket: await socket(eventPath) }),
    ...(freeBytes !== undefined && { freeBytes }),
  };
}

const states: { readonly [letter: string]: string } = {
  R: "runs, and does not come to an answer",
  S: "sleeps, and is not woken by a question",
  D: "waits in the kernel for a disk or a file system, where nothing ends it",
  T: "is stopped",
  t: "is stopped by a debugger",
  Z: "has ended",
};

/** Of the process that wrote the record: another one may have its pid by now. */
function stateIn(stat: string | undefined, startTime: string): string | undefined {
  // The name, which may contain anything, is in parentheses.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  const [letter = "", began] = [fields[0], fields[19]];
  return began === startTime || startTime === "" ? states[letter] : undefined;
}

const acceptMilliseconds = 1000;

export const thisMachine: Machine = {
  accepts: (path) =>
    new Promise((resolve) => {
      const socket = connect(path);
      const settle = (accepts: boolean) => (): void => {
        socket.destroy();
        resolve(accepts);
      };
      socket.setTimeout(acceptMilliseconds, settle(false));
      socket.once("connect", settle(true));
      socket.once("error", settle(false));
    }),
  // The pod may be removed while this looks at it.
  freeBytes: (path) =>
    statfs(path).then(
      ({ bavail, bsize }) => bavail * bsize,
      () => undefined,
    ),
  processStat: (pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined),
};
