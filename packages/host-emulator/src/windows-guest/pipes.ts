/**
 * Named pipes of the host, which Linux has not: a Unix socket stands for each. A client in the guest has one connection of
 * the socket for each time that it opens the pipe.
 */
import { closeSync } from "node:fs";
import { hostPipeName, hostPipePath } from "@uvm-shim/host-protocol";
import { pipeSocket } from "@uvm-shim/host-protocol/guest";
import { openTree, withMountNamespace } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../hcs-failure.ts";
import { attach, hideFile } from "../process-guest/shares.ts";
import { realPath } from "../system/disk-file.ts";

/** Shows the guest the socket that stands for a named pipe of the host. */
export function mapPipe(init: number, stateDirectory: string, path: string): void {
  const socket = hostPipePath(stateDirectory, path);
  if (socket === undefined) throw unnamed(path);
  const tree = openTree(realPath(socket, `ResourcePath: the socket for pipe ${path}`));
  try {
    withMountNamespace(init, () => attach({ isDirectory: false, tree }, guestSocketOf(path)));
  } finally {
    closeSync(tree);
  }
}

/** Hides it again. */
export async function unmapPipe(init: number, path: string): Promise<void> {
  await hideFile(init, guestSocketOf(path));
}

function guestSocketOf(path: string): string {
  const name = hostPipeName(path);
  if (name === undefined) throw unnamed(path);
  return pipeSocket(name);
}

function unnamed(path: string): HcsFailure {
  return new HcsFailure("E_INVALIDARG", `ResourcePath: expected a pipe's name without slashes, got ${path}`);
}
