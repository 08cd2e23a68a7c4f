import { closeSync } from "node:fs";
import koffi from "koffi";
import { invoke } from "./libc.ts";
import { emptyOf, unixAddress } from "./structures.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** The address as the kernel takes it. */
export function unixAddressOf(path: string): Buffer {
  const address = emptyOf(unixAddress);
  const mostBytes = unixAddress.size - koffi.offsetof(unixAddress, "sun_path") - 1;
  const bytes = Buffer.byteLength(path);
  if (bytes > mostBytes)
    throw new RangeError(`invalid socket path ${path}: ${bytes} bytes, expected at most ${mostBytes}`);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, koffi.offsetof(unixAddress, "sun_path"));
  return address;
}

/** Makes the socket's file and listens. The caller owns the descriptor, which does not block and is not inherited. */
export function listenAtUnixSocket(path: string, backlog: number): number {
  const address = unixAddressOf(path);
  const listener = invoke("socket", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  try {
    invoke("bind", path, listener, address, address.length);
    invoke("listen", path, listener, backlog);
    return listener;
  } catch (error) {
    closeSync(listener);
    throw error;
  }
}
