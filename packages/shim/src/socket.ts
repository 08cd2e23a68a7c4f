import { createHash } from "node:crypto";
import { unlinkSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { ShimError } from "./errors.ts";
import { makeDirectories } from "./file-calls.ts";
import type { SocketOwner } from "./system.ts";

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

export async function makeSocketDirectory(socket: string): Promise<void> {
  await makeDirectories(path.dirname(socket), 0o711);
}

/** Whether somebody accepts connections there. */
export function isAccepting(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = net.connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", () => resolve(false));
  });
}

export function removeSocket(socket: string): void {
  try {
    unlinkSync(socket);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Listens with mode 0600 from the first instant; a socket that nobody serves any more is replaced. */
export async function listen(server: net.Server, socket: string): Promise<void> {
  if (await isAccepting(socket)) {
    throw new ShimError("AlreadyExists", `another shim is serving ${socket}; delete its tasks and sandbox first`);
  }
  removeSocket(socket);
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
}
