import { stat, statfs } from "node:fs/promises";
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
  /** Bytes that are free where the bundle is; absent if the bundle is gone. */
  readonly freeBytes?: number;
}

/** How the machine is looked at. */
export interface Machine {
  exists(path: string): Promise<boolean>;
  accepts(socket: string): Promise<boolean>;
  freeBytes(path: string): Promise<number>;
}

const defaultHostSocket = "/run/uvm-shim-host/host.sock";

export async function gatherFacts(
  header: Pick<HeaderLine, "host" | "events" | "bundle">,
  machine: Machine = thisMachine,
): Promise<MachineFacts> {
  const hostPath = header.host === "" ? defaultHostSocket : /^unix:(\/.*)$/.exec(header.host)?.[1];
  const eventPath = header.events.replace(/^unix:\/\//, "");
  const socket = async (path: string): Promise<SocketFact> => ({ path, accepts: await machine.accepts(path) });
  return {
    ...(hostPath !== undefined && { hostSocket: await socket(hostPath) }),
    ...(eventPath !== "" && { eventSocket: await socket(eventPath) }),
    ...((await machine.exists(header.bundle)) && { freeBytes: await machine.freeBytes(header.bundle) }),
  };
}

const acceptMilliseconds = 1000;

export const thisMachine: Machine = {
  exists: (path) =>
    stat(path).then(
      () => true,
      () => false,
    ),
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
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
};
