/** Connections of families that Node has no sockets for, such as AF_VSOCK, and a socket of Node over any connection. */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import koffi from "koffi";
import { ready } from "./descriptors.ts";
import { LinuxCallError } from "./error.ts";
import { invoke } from "./libc.ts";
import { emptyOf, vsockAddress } from "./structures.ts";

const AF_UNIX = 1;
const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const O_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;

/** The context id by which a virtual machine reaches its host. */
export const vsockHost = 2;

/**
 * Connects to a vsock port. The caller owns the descriptor, which does not block and is not inherited. An abort rejects with
 * its reason.
 */
export function connectVsock(contextId: number, port: number, signal: AbortSignal): Promise<number> {
  return connectStream(vsockAddressOf(contextId, port), `vsock ${contextId}:${port}`, signal);
}

/** A sockaddr_vm. */
export function vsockAddressOf(contextId: number, port: number): Buffer {
  const address = emptyOf(vsockAddress);
  const values = { svm_family: AF_VSOCK, svm_reserved1: 0, svm_port: port, svm_cid: contextId, svm_flags: 0 };
  koffi.encode(address, vsockAddress, { ...values, svm_zero: [0, 0, 0] });
  return address;
}

/** Connects a stream socket of the address's family; `subject` is what its errors call it. */
export async function connectStream(address: Buffer, subject: string, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const socket = invoke("socket", subject, address.readUInt16LE(), type, 0);
  try {
    if (isConnecting(socket, address, subject)) {
      await ready(socket, { writable: true }, signal);
      requireNoError(socket, subject);
    }
    return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
}

function isConnecting(socket: number, address: Buffer, subject: string): boolean {
  try {
    invoke("connect", subject, socket, address, address.length);
    return false;
  } catch (error) {
    if (error instanceof LinuxCallError && error.code === "EINPROGRESS") return true;
    throw error;
  }
}

/** The outcome of a connect that did not wait. */
function requireNoError(socket: number, subject: string): void {
  const value = new Int32Array(1);
  invoke("getsockopt", subject, socket, SOL_SOCKET, SO_ERROR, value, new Uint32Array([value.byteLength]));
  const [errno = 0] = value;
  if (errno !== 0) throw new LinuxCallError("connect", subject, errno);
}

/**
 * A socket of Node over a connection of any family, whose descriptor it owns from now on. `net.Socket` accepts only
 * descriptors of the families that Node knows, though it then calls nothing but read, write and shutdown. So it gets one
 * of a new Unix socket, and at the same number the connection takes that one's place, before the event loop looks at it.
 */
export function socketOf(descriptor: number): Socket {
  const [end, other] = unixPair();
  let socket: Socket;
  try {
    socket = new Socket({ fd: end, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    for (const each of [end, descriptor]) closeSync(each);
    throw error;
  } finally {
    closeSync(other);
  }
  try {
    invoke("dup3", "socket", descriptor, end, O_CLOEXEC);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    closeSync(descriptor);
  }
  return socket;
}

function unixPair(): readonly [number, number] {
  const ends = new Int32Array(2);
  invoke("socketpair", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
  return [ends[0] ?? -1, ends[1] ?? -1];
}
