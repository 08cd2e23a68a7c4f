import { createHash } from "node:crypto";
import { lstatSync, unlinkSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { ShimError } from "../errors.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { makeDirectories } from "./file-calls.ts";
import type { Listener, SocketOwner } from "./system.ts";

/** Where shims of containerd keep their sockets; short because a socket's path is at most 108 bytes long. */
const defaultSocketDirectory = "/run/containerd/s";
const longestSocketPath = 100;

export function socketPath({ address, namespace, id, directory = defaultSocketDirectory }: SocketOwner): string {
  const digest = createHash("sha256").update([address, namespace, id].join("\0")).digest("hex");
  const result = path.join(directory, `uvm-${digest.slice(0, 32)}`);
  if (Buffer.byteLength(result) > longestSocketPath) {
    throw new ShimError(
      "InvalidArgument",
      `socket path ${result} has ${Buffer.byteLength(result)} bytes; at most ${longestSocketPath} are accepted, choose a shorter socket directory`,
    );
  }
  return result;
}

/** The folder of sockets, where the application or the environment names one. */
export function toldSocketDirectory(
  options: Pick<ShimOptions, "socketDirectory">,
  env: NodeJS.ProcessEnv,
): string | undefined {
  return (options.socketDirectory ?? env.UVM_SHIM_SOCKET_DIRECTORY) || undefined;
}

export async function makeSocketDirectory(socket: string): Promise<void> {
  await makeDirectories(path.dirname(socket), 0o711);
}

/** What a process answers that listens but has more connections waiting than its backlog holds: Unix sockets, pipes. */
const busyCodes: ReadonlySet<unknown> = new Set(["EAGAIN", "EBUSY"]);

/** Whether somebody accepts connections there. */
export function isAccepting(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = net.connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", (error: NodeJS.ErrnoException) => resolve(busyCodes.has(error.code)));
  });
}

/** Removes a socket that nobody serves; one that somebody makes in its place meanwhile stays. */
export async function removeDeadSocket(socket: string): Promise<void> {
  const dead = identityOf(socket);
  if (dead === undefined || (await isAccepting(socket)) || identityOf(socket) !== dead) return;
  try {
    unlinkSync(socket);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Names one socket for as long as machines run: numbers of inodes are given again, at another time. */
function identityOf(socket: string): string | undefined {
  const found = lstatSync(socket, { bigint: true, throwIfNoEntry: false });
  return found && [found.dev, found.ino, found.mtimeNs].join(" ");
}

/**
 * Listens with mode 0600 from the first instant; a socket that nobody serves any more is replaced. Closing removes the
 * socket, unless another stands in its place by then.
 */
export async function listen(server: net.Server, socket: string): Promise<Listener> {
  if (await isAccepting(socket)) {
    throw new ShimError("AlreadyExists", `another shim is serving ${socket}; delete its tasks and sandbox first`);
  }
  await removeDeadSocket(socket);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const mask = process.umask(0o177);
    try {
      // The name is bound before listen returns, so the mask covers just that.
      server.listen(socket, () => {
        server.removeListener("error", reject);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
  // A connection that cannot be taken is its client's loss: the runtime closes it, and there are others.
  server.on("error", () => {});
  const own = identityOf(socket);
  return {
    close: () => {
      // Node removes whatever has the name of what it closes. Where that is another's, nobody can come here any more.
      if (identityOf(socket) === own) server.close();
      else server.unref();
    },
  };
}
