import { closeSync, rmSync } from "node:fs";
import koffi from "koffi";
import { type DescriptorWatch, watchReadable } from "./descriptor-watch.ts";
import { LinuxCallError } from "./error.ts";
import { invokeUnlessBusy } from "./libc.ts";
import { emptyOf, ioVector, messageHeader } from "./structures.ts";
import { listenAtUnixSocket } from "./unix-addresses.ts";

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const lengthOffset = 0;
const levelOffset = 8;
const typeOffset = 12;
const controlHeaderLength = 16;
const descriptorLength = 4;
const controlAlignment = 8;

/** What one read of a {@link DescriptorSocket} brought. */
export interface ArrivedBytes {
  /** 0 at the end. */
  readonly length: number;
  /** Those that the peer sent with these bytes, not inherited. The caller owns them. */
  readonly descriptors: readonly number[];
}

/** A Unix stream socket whose peers send file descriptors beside their bytes, which sockets of Node cannot receive. */
export class DescriptorSocket {
  readonly #descriptor: number;
  readonly #most: number;
  #watch: DescriptorWatch | undefined;
  #isOpen = true;

  /** It owns the socket. `mostDescriptors` come with one read. */
  constructor(descriptor: number, mostDescriptors: number) {
    this.#descriptor = descriptor;
    this.#most = mostDescriptors;
  }

  /** Calls the action whenever there is something to receive, the end included. */
  watch(onReadable: () => void): void {
    this.#watch?.close();
    this.#watch = watchReadable(this.#descriptor, onReadable);
  }

  /** Reads into the bytes; undefined if nothing has come. More descriptors at once than agreed are an error. */
  receive(bytes: Buffer): ArrivedBytes | undefined {
    try {
      return this.#receive(bytes);
    } catch (error) {
      // A peer that has gone with something unread is reset, which is its end all the same.
      if (error instanceof LinuxCallError && error.code === "ECONNRESET") return { length: 0, descriptors: [] };
      throw error;
    }
  }

  #receive(bytes: Buffer): ArrivedBytes | undefined {
    const control = Buffer.alloc(controlSize(this.#most));
    // Kept in variables: the kernel gets their addresses as numbers, which hold no memory.
    const vector = vectorOf(bytes);
    const header = headerOf(vector, control);
    const length = invokeUnlessBusy("recvmsg", "socket", this.#descriptor, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length === undefined) return undefined;
    const { msg_controllen, msg_flags } = koffi.decode(header, messageHeader) as Record<string, number>;
    const descriptors = descriptorsIn(control.subarray(0, msg_controllen ?? 0));
    // The padding of an odd number has room for one more.
    if (((msg_flags ?? 0) & MSG_CTRUNC) !== 0 || descriptors.length > this.#most) {
      for (const descriptor of descriptors) closeSync(descriptor);
      throw new Error(`the peer sent too many file descriptors at once: expected at most ${this.#most}`);
    }
    return { length, descriptors };
  }

  /** Sends all the bytes at once, with copies of the descriptors. A peer that lets the socket fill up is an error. */
  send(bytes: Buffer, descriptors: readonly number[] = []): void {
    const control = controlOf(descriptors);
    const vector = vectorOf(bytes);
    const header = headerOf(vector, control);
    const sent = invokeUnlessBusy("sendmsg", "socket", this.#descriptor, header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent !== bytes.length) throw new Error(`the peer does not read: ${sent ?? 0} of ${bytes.length} bytes sent`);
  }

  /** Repeatable. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch?.close();
    closeSync(this.#descriptor);
  }
}

/** Who gets the peers of a {@link DescriptorListener}, and owns them. */
export interface PeerUser {
  arrived(peer: DescriptorSocket): void;
  /** None arrives any more, for example for want of descriptors; the listener is closed. */
  failed(error: Error): void;
}

/** A Unix socket that listens for peers that send descriptors. */
export class DescriptorListener {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #watch: DescriptorWatch;
  #isOpen = true;

  constructor(path: string, mostDescriptors: number, user: PeerUser) {
    this.#path = path;
    this.#descriptor = listenAtUnixSocket(path, 1);
    this.#watch = watchReadable(this.#descriptor, () => {
      try {
        const peer = this.#accept();
        if (peer !== undefined) user.arrived(new DescriptorSocket(peer, mostDescriptors));
      } catch (error) {
        this.close();
        user.failed(error as Error);
      }
    });
  }

  /** Stops listening and removes the socket's file. Repeatable. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch.close();
    closeSync(this.#descriptor);
    rmSync(this.#path, { force: true });
  }

  #accept(): number | undefined {
    try {
      return invokeUnlessBusy("accept4", this.#path, this.#descriptor, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } catch (error) {
      // A peer that has gone again; whoever waits for one goes on waiting.
      if (error instanceof LinuxCallError && error.code === "ECONNABORTED") return undefined;
      throw error;
    }
  }
}

function vectorOf(bytes: Buffer): Buffer {
  const vector = emptyOf(ioVector);
  koffi.encode(vector, ioVector, { iov_base: koffi.address(bytes), iov_len: bytes.length });
  return vector;
}

function headerOf(vector: Buffer, control: Buffer): Buffer {
  const header = emptyOf(messageHeader);
  koffi.encode(header, messageHeader, {
    msg_name: 0,
    msg_namelen: 0,
    msg_iov: koffi.address(vector),
    msg_iovlen: 1,
    msg_control: control.length === 0 ? 0 : koffi.address(control),
    msg_controllen: control.length,
    msg_flags: 0,
  });
  return header;
}

function controlSize(descriptors: number): number {
  return aligned(controlHeaderLength + descriptors * descriptorLength);
}

function aligned(length: number): number {
  return Math.ceil(length / controlAlignment) * controlAlignment;
}

function controlOf(descriptors: readonly number[]): Buffer {
  if (descriptors.length === 0) return Buffer.alloc(0);
  const control = Buffer.alloc(controlSize(descriptors.length));
  control.writeBigUInt64LE(BigInt(controlHeaderLength + descriptors.length * descriptorLength), lengthOffset);
  control.writeInt32LE(SOL_SOCKET, levelOffset);
  control.writeInt32LE(SCM_RIGHTS, typeOffset);
  for (const [index, descriptor] of descriptors.entries()) {
    control.writeInt32LE(descriptor, controlHeaderLength + index * descriptorLength);
  }
  return control;
}

function descriptorsIn(control: Buffer): number[] {
  const descriptors: number[] = [];
  for (let at = 0; at + controlHeaderLength <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at + lengthOffset));
    if (length < controlHeaderLength) break;
    const end = Math.min(at + length, control.length);
    if (control.readInt32LE(at + levelOffset) === SOL_SOCKET && control.readInt32LE(at + typeOffset) === SCM_RIGHTS) {
      for (let place = at + controlHeaderLength; place + descriptorLength <= end; place += descriptorLength) {
        descriptors.push(control.readInt32LE(place));
      }
    }
    at += aligned(length);
  }
  return descriptors;
}
