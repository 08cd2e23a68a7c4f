import { accessSync, constants, lstatSync, unlinkSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { ShimError } from "../errors.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { makeDirectories } from "./file-calls.ts";
import { sha256 } from "./sha256.ts";
import type { Listener, SocketOwner } from "./system.ts";

/** The usual directory of containerd's shims; short because a socket path has at most 108 bytes. */
const defaultSocketDirectory = "/run/containerd/s";
const longestSocketPath = 100;

/** The path of a shim's socket, the same whenever it is asked for; InvalidArgument if no socket can have it. */
export function socketPath({ address, namespace, id, directory = defaultSocketDirectory }: SocketOwner): string {
  const digest = sha256([address, namespace, id].join("\0"));
  const result = path.join(directory, `uvm-${digest.slice(0, 32)}`);
  if (Buffer.byteLength(result) > longestSocketPath) {
    throw new ShimError(
      "InvalidArgument",
      `socket path ${result} has ${Buffer.byteLength(result)} bytes, expected at most ${longestSocketPath}: choose a shorter socket directory`,
    );
  }
  return result;
}

/** The socket directory that the application or the environment names, if any. */
export function configuredSocketDirectory(
  options: Pick<ShimOptions, "socketDirectory">,
  env: NodeJS.ProcessEnv,
): string | undefined {
  return (options.socketDirectory ?? env.UVM_SHIM_SOCKET_DIRECTORY) || undefined;
}

/** Makes the folder of a socket, unless it exists. Rejects with the system's error if no socket can be made in it. */
export async function makeSocketDirectory(socket: string): Promise<void> {
  const directory = path.dirname(socket);
  await makeDirectories(directory, 0o711);
  // The serving process would find it out when the bundle has files already.
  accessSync(directory, constants.W_OK | constants.X_OK);
}

/** The errors of a Unix socket or pipe that is served but has a full backlog. */
const busyCodes: ReadonlySet<unknown> = new Set(["EAGAIN", "EBUSY"]);

/** Whether a process accepts connections on the socket. */
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

/** Removes a socket that no process serves, but not one that replaces it in the meantime. */
export async function removeDeadSocket(socket: string): Promise<void> {
  const dead = identityOf(socket);
  if (dead === undefined || (await isAccepting(socket)) || identityOf(socket) !== dead) return;
  try {
    unlinkSync(socket);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Includes the modification time because inode numbers are reused. */
function identityOf(socket: string): string | undefined {
  const found = lstatSync(socket, { bigint: true, throwIfNoEntry: false });
  return found && [found.dev, found.ino, found.mtimeNs].join(" ");
}

/**
 * Listens on a socket with mode 0600 from the start, replacing one that no process serves. Closing removes the socket,
 * unless another has replaced it.
 */
export async function listen(server: net.Server, socket: string): Promise<Listener> {
  if (await isAccepting(socket)) {
    throw new ShimError("AlreadyExists", `another shim serves ${socket}, delete its tasks and sandbox first`);
  }
  await removeDeadSocket(socket);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const mask = process.umask(0o177);
    try {
      // listen binds the name before it returns, so the mask affects nothing else.
      server.listen(socket, () => {
        server.removeListener("error", reject);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
  // Node closes a connection that it cannot accept; the server keeps serving others.
  server.on("error", () => {});
  const own = identityOf(socket);
  return {
    close: () => {
      // Node's close unlinks the path, even if it names another process's socket by now. In that case no client can
      // reach this server any more.
      if (identityOf(socket) === own) server.close();
      else server.unref();
    },
  };
}
