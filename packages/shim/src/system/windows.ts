import { createHash } from "node:crypto";
import { mkdirSync, writeSync } from "node:fs";
import path from "node:path";
import { ShimError } from "../errors.ts";
import type { LogLevel } from "../platform.ts";
import { formatLine, isBelow } from "./log.ts";
import { ServedLog } from "./log-served.ts";
import { createPipeStdio } from "./stdio-pipe.ts";
import type { LogOptions, ShimLog, ShimSystem, SocketOwner, WindowsCalls } from "./system.ts";

/** Only administrators can make pipes with this prefix, so nobody else can impersonate a shim. */
const protectedPipe = String.raw`\\.\pipe\ProtectedPrefix\Administrators\containerd-shim-`;

const longestPipeName = 256;
const pipeEnding = "-pipe";
const digestLength = 16;

/**
 * Found by hcsshim's tool for diagnosis, which looks for names of this form. The digest tells the pods of several
 * containerds apart, and those whose names are cut.
 */
function socketPath({ address, namespace, id }: SocketOwner): string {
  const digest = createHash("sha256").update([address, namespace, id].join("\0")).digest("hex");
  const unique = `-${digest.slice(0, digestLength)}${pipeEnding}`;
  const room = longestPipeName - protectedPipe.length - unique.length;
  return `${protectedPipe}${`${namespace}-${id}`.slice(0, room)}${unique}`;
}

/** Uses named pipes for the socket, the log and stdio. */
export function windowsSystem(loadCalls: (() => Promise<WindowsCalls>) | undefined): ShimSystem {
  const calls = async (): Promise<WindowsCalls> => {
    if (loadCalls === undefined)
      throw new ShimError("Internal", "this shim has no Windows calls: loadWindowsCalls is missing");
    return await loadCalls();
  };
  return {
    socketPath,
    address: (socket) => socket,
    // A pipe exists only while a process serves it.
    prepareSocket: async () => {},
    removeDeadSocket: async () => {},
    makePrivateFolder: async (folder) => {
      const windows = await calls();
      const folders = foldersToOwn(folder);
      mkdirSync(path.dirname(folders[0] ?? folder), { recursive: true });
      for (const each of folders) windows.makePrivateFolder(each);
    },
    enterService: async () => (await calls()).enterService(),
    listen: async (socket, onConnection) => {
      const server = await (await calls()).servePipe(socket, onConnection);
      return { close: () => void server.close() };
    },
    processStartTime: async (pid) => (await calls()).processStartTime(pid),
    openLog: ({ namespace, id, level, clock }) =>
      new ServedLog({
        serve: async (onConnection) =>
          (await calls()).servePipe(String.raw`\\.\pipe\containerd-shim-${namespace}-${id}-log`, onConnection),
        level,
        clock,
        fields: { namespace, id },
      }),
    openDeleteLog,
    stdio: createPipeStdio,
    endPrograms: async () => {},
  };
}

/**
 * The folders that have to be private for one to be, from the top. Every user can make folders in %ProgramData%, and so
 * have been there first; of other places, whoever names them knows who else can write there.
 */
export function foldersToOwn(folder: string, env: NodeJS.ProcessEnv = process.env): readonly string[] {
  const shared = env.ProgramData || String.raw`C:\ProgramData`;
  const below = path.win32.relative(shared, folder);
  if (below === "" || below.startsWith("..") || path.win32.isAbsolute(below)) return [folder];
  const parts = below.split("\\");
  return parts.map((_, index) => path.win32.join(shared, ...parts.slice(0, index + 1)));
}

/** Nobody reads the log pipe of a shim that has exited, but containerd logs the standard error of `delete`. */
function openDeleteLog({ namespace, id, clock }: LogOptions): ShimLog {
  const isLogged = (level: LogLevel): boolean => !isBelow(level, "warn");
  return {
    queuedBytes: 0,
    isLogged,
    log: (level, message, fields = {}) => {
      if (!isLogged(level)) return;
      writeSync(2, formatLine(clock.now(), level, message, fields, { namespace, id }));
    },
    setLevel: () => {},
    close: () => {},
  };
}
