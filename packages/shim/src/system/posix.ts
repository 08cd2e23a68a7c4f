import { mkdirSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { Refusal } from "../program/refusal.ts";
import { PipeLog } from "./log.ts";
import { processStartTime } from "./process-identity.ts";
import { listen, makeSocketDirectory, removeDeadSocket, socketPath } from "./socket.ts";
import { endLoggingBinaries } from "./stdio-binary.ts";
import { createPosixStdio } from "./stdio-posix.ts";
import type { LogOptions, ShimSystem } from "./system.ts";

/** Uses Unix sockets, the FIFO `log` in the bundle, and /proc. */
export const posixSystem: ShimSystem = {
  socketPath,
  address: (socket) => `unix://${socket}`,
  prepareSocket: makeSocketDirectory,
  makePrivateFolder: async (folder) => void mkdirSync(folder, { recursive: true, mode: 0o700 }),
  enterService: async () => {
    throw new Refusal("flag -service is for services of Windows");
  },
  removeDeadSocket,
  listen: (socket, onConnection) => listen(net.createServer(onConnection), socket),
  processStartTime: async (pid) => processStartTime(pid),
  openLog,
  openDeleteLog: openLog,
  stdio: ({ namespace, clock, loadLinuxCalls }) => createPosixStdio({ namespace, clock, loadLinuxCalls }),
  endPrograms: endLoggingBinaries,
};

function openLog({ bundle, level, clock, namespace, id }: LogOptions): PipeLog {
  return new PipeLog({ path: path.join(bundle, "log"), level, clock, fields: { namespace, id } });
}
