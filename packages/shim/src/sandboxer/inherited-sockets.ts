/** Sockets that systemd has bound and passes on: while the program is started again, clients wait and are not refused. */
import { readFileSync, readlinkSync } from "node:fs";
import net from "node:net";
import { Refusal } from "../program/refusal.ts";
import type { Listener } from "../system/system.ts";

const firstDescriptor = 3;
const mostDescriptors = 64;
const variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] as const;

/** The descriptors of the sockets that this process was given, by their paths. */
export type InheritedSockets = ReadonlyMap<string, number>;

/**
 * Takes the sockets that the environment speaks of, and what it says of them, which concerns no program that this one
 * starts. Throws a Refusal for one that has no path of the expected, at which it would serve nobody.
 */
export function takeInheritedSockets(
  env: NodeJS.ProcessEnv,
  pid: number,
  expected: readonly string[],
): InheritedSockets {
  const { LISTEN_PID: owner, LISTEN_FDS: count = "" } = env;
  for (const name of variables) delete env[name];
  if (owner !== `${pid}`) return new Map();
  if (!/^\d{1,2}$/.test(count) || Number(count) > mostDescriptors) {
    throw new Refusal(
      `environment variable LISTEN_FDS is ${JSON.stringify(count)}, expected a number of at most ${mostDescriptors}`,
    );
  }
  const sockets = new Map<string, number>();
  for (let descriptor = firstDescriptor; descriptor < firstDescriptor + Number(count); descriptor++) {
    const path = pathOf(descriptor);
    if (path === undefined || !expected.includes(path)) {
      throw new Refusal(
        `descriptor ${descriptor} is ${path === undefined ? "no Unix socket with a path" : `the socket ${path}`}, expected ${expected.join(" or ")}: the sockets of the unit and of the configuration differ`,
      );
    }
    sockets.set(path, descriptor);
  }
  return sockets;
}

/** Serves such a socket. Closing leaves it to whoever has bound it, and there clients then wait. */
export async function listenInherited(
  descriptor: number,
  onConnection: (connection: net.Socket) => void,
): Promise<Listener> {
  const server = net.createServer(onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ fd: descriptor }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  // Node closes a connection that it cannot accept; the server keeps serving others.
  server.on("error", () => {});
  return { close: () => void server.close() };
}

/** Where a socket is bound: Node asks that only of those that it has bound itself. */
function pathOf(descriptor: number): string | undefined {
  const inode = /^socket:\[(\d+)\]$/.exec(linkOf(descriptor))?.[1];
  if (inode === undefined) return undefined;
  // Number, references, protocol, flags, type, state, inode, path.
  for (const line of readFileSync("/proc/self/net/unix", "utf8").split("\n")) {
    const words = line.trim().split(/ +/);
    if (words[6] === inode) return words.slice(7).join(" ") || undefined;
  }
  return undefined;
}

function linkOf(descriptor: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return "";
  }
}
