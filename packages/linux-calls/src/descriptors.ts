import { closeSync, openSync, rmSync } from "node:fs";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";
import { invoke, invokeUnlessBusy } from "./libc.ts";
import { descriptorMessage, emptyOf, ioVector, messageHeader } from "./structures.ts";
import { listenAtUnixSocket, unixAddressOf } from "./unix-addresses.ts";

const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const LOCK_EX = 2;
const LOCK_NB = 4;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 8;
/** CMSG_LEN of one descriptor, without the padding in which a second one would fit. */
const oneDescriptorLength = 20;

/** An exclusive flock(2). The kernel releases it too when the process ends. */
export interface FileLock {
  /** Repeatable. */
  release(): void;
}

/** Takes an exclusive flock(2) on a file, creating it if missing; undefined if another process holds the lock. */
export function lockFile(path: string): FileLock | undefined {
  let descriptor: number | undefined = openSync(path, "a", 0o600);
  try {
    invoke("flock", path, descriptor, LOCK_EX | LOCK_NB);
  } catch (error) {
    closeSync(descriptor);
    if (error instanceof LinuxCallError && error.code === "EAGAIN") return undefined;
    throw error;
  }
  return {
    release() {
      if (descriptor !== undefined) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}

/** A pipe whose ends children inherit only if they are passed as stdio. */
export function pipe(): { readonly readFd: number; readonly writeFd: number } {
  const ends = new Int32Array(2);
  invoke("pipe2", "", ends, O_CLOEXEC);
  return { readFd: ends[0] ?? -1, writeFd: ends[1] ?? -1 };
}

/** Opens all the pipes or none: if one fails, those before it are closed. */
export function pipes(count: number): readonly ReturnType<typeof pipe>[] {
  const made: ReturnType<typeof pipe>[] = [];
  try {
    while (made.length < count) made.push(pipe());
  } catch (error) {
    for (const { readFd, writeFd } of made) for (const end of [readFd, writeFd]) closeSync(end);
    throw error;
  }
  return made;
}

/**
 * Connects to a Unix socket without waiting; undefined while the listener's backlog is full. The caller owns the
 * descriptor, which does not block and is not inherited.
 */
export function connectUnixSocket(path: string): number | undefined {
  const address = unixAddressOf(path);
  const socket = invoke("socket", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  try {
    if (invokeUnlessBusy("connect", path, socket, address, address.length) !== undefined) return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
  closeSync(socket);
  return undefined;
}

/** Makes a descriptor block, as programs expect of their stdio. */
export function letBlock(descriptor: number): void {
  const flags = invoke("fcntl", "F_GETFL", descriptor, F_GETFL, 0);
  invoke("fcntl", "F_SETFL", descriptor, F_SETFL, flags & ~O_NONBLOCK);
}

/** A Unix socket that takes one descriptor from another process. */
export interface DescriptorReceiver {
  /** The file descriptor that the first peer sends (SCM_RIGHTS); the caller owns it. An abort rejects with its reason. */
  receive(signal: AbortSignal): Promise<number>;
  /** Stops listening and removes the socket. Repeatable. */
  close(): void;
}

/** Listens on a Unix socket for one peer that sends one file descriptor, as an OCI runtime does with a terminal. */
export function listenForDescriptor(path: string): DescriptorReceiver {
  let listener: number | undefined = listenAtUnixSocket(path, 1);
  return {
    async receive(signal) {
      if (listener === undefined) throw new Error(`socket ${path} is closed`);
      await ready(listener, { readable: true, disconnect: true }, signal);
      const peer = invoke("accept4", path, listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
      try {
        await ready(peer, { readable: true, disconnect: true }, signal);
        return takeDescriptor(peer, path);
      } finally {
        closeSync(peer);
      }
    },
    close() {
      if (listener === undefined) return;
      closeSync(listener);
      listener = undefined;
      rmSync(path, { force: true });
    },
  };
}

/** What a descriptor is waited for. */
interface Readiness {
  readonly readable?: boolean;
  readonly writable?: boolean;
  readonly disconnect?: boolean;
}

/** Resolves at the first of these events, or when the descriptor has an error. An abort rejects with its reason. */
export function ready(fd: number, events: Readiness, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = (): void => {
      poll.close();
      signal.removeEventListener("abort", onAbort);
    };
    const onAbort = (): void => {
      stop();
      reject(signal.reason);
    };
    const poll = koffi.node.poll(fd, events, () => {
      stop();
      // koffi calls back outside Node's callback scope, so promises would not continue before the next event.
      setImmediate(resolve);
    });
    signal.addEventListener("abort", onAbort);
  });
}

function takeDescriptor(peer: number, path: string): number {
  const bytes = Buffer.alloc(4096);
  const vector = emptyOf(ioVector);
  koffi.encode(vector, ioVector, { iov_base: koffi.address(bytes), iov_len: bytes.length });
  const control = emptyOf(descriptorMessage);
  const header = emptyOf(messageHeader);
  koffi.encode(header, messageHeader, {
    msg_name: 0,
    msg_namelen: 0,
    msg_iov: koffi.address(vector),
    msg_iovlen: 1,
    msg_control: koffi.address(control),
    msg_controllen: oneDescriptorLength,
    msg_flags: 0,
  });
  invoke("recvmsg", path, peer, header, MSG_CMSG_CLOEXEC);
  const { msg_controllen: length, msg_flags: flags } = koffi.decode(header, messageHeader) as Record<string, number>;
  const message = koffi.decode(control, descriptorMessage) as Record<string, number>;
  const isDescriptor = message.cmsg_level === SOL_SOCKET && message.cmsg_type === SCM_RIGHTS;
  if ((length ?? 0) < oneDescriptorLength || !isDescriptor || message.descriptor === undefined) {
    throw new Error(`the peer of ${path} sent no file descriptor (control length ${length}, flags ${flags})`);
  }
  if (((flags ?? 0) & MSG_CTRUNC) !== 0) {
    closeSync(message.descriptor);
    throw new Error(`the peer of ${path} sent more than one file descriptor`);
  }
  return message.descriptor;
}
