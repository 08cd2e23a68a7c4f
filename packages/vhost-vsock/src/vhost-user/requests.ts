/** Numbers and structures of the vhost-user protocol, as QEMU's docs/interop/vhost-user.rst defines them. */
import { VsockDeviceError } from "../device-error.ts";
import { largeNumberAt } from "../memory/guest-memory.ts";

/** What a machine can ask for. */
export const requests = {
  getFeatures: 1,
  setFeatures: 2,
  setOwner: 3,
  resetOwner: 4,
  setMemoryTable: 5,
  setRingSize: 8,
  setRingAddresses: 9,
  setRingBase: 10,
  getRingBase: 11,
  setRingKick: 12,
  setRingCall: 13,
  setRingError: 14,
  getProtocolFeatures: 15,
  setProtocolFeatures: 16,
  getQueueCount: 17,
  setRingEnable: 18,
  getConfig: 24,
  setConfig: 25,
} as const;

/** Bits of a 64-bit set of features. */
export const features = {
  indirectDescriptors: 1n << 28n,
  eventIndex: 1n << 29n,
  protocolFeatures: 1n << 30n,
  version1: 1n << 32n,
} as const;

/** Bits of the set of protocol features. */
export const protocolFeatures = {
  queueCount: 1n << 0n,
  replies: 1n << 3n,
  config: 1n << 9n,
} as const;

/** Bytes of a header. */
export const headerLength = 12;
/** More than any request that a device of this kind gets. */
export const longestPayload = 4096;
/** Regions of a memory table, and so file descriptors of a message. */
export const mostRegions = 8;
const version = 1;
const versionMask = 3;
const flagReply = 4;
const flagNeedsReply = 8;
const regionLength = 32;
const noDescriptor = 0x100;

/** What comes before the payload. */
export interface RequestHeader {
  readonly request: number;
  readonly needsReply: boolean;
  readonly length: number;
}

/** A whole message; the descriptors are its receiver's. */
export interface Request {
  readonly request: number;
  readonly needsReply: boolean;
  readonly payload: Buffer;
  readonly descriptors: number[];
}

/** The header in 12 bytes; one that no machine may send throws. */
export function readHeader(bytes: Buffer): RequestHeader {
  const flags = bytes.readUInt32LE(4);
  const length = bytes.readUInt32LE(8);
  if ((flags & versionMask) !== version || (flags & flagReply) !== 0) {
    throw protocolError(`flags ${flags}, expected a request of version ${version}`);
  }
  if (length > longestPayload) throw protocolError(`a payload of ${length} bytes, expected at most ${longestPayload}`);
  return { request: bytes.readUInt32LE(0), needsReply: (flags & flagNeedsReply) !== 0, length };
}

/** The message that answers a request. */
export function replyTo(request: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerLength);
  header.writeUInt32LE(request, 0);
  header.writeUInt32LE(version | flagReply, 4);
  header.writeUInt32LE(payload.length, 8);
  return Buffer.concat([header, payload]);
}

/** A request, as a machine sends it. */
export function requestOf(request: number, payload: Buffer, needsReply: boolean): Buffer {
  const bytes = replyTo(request, payload);
  bytes.writeUInt32LE(version | (needsReply ? flagNeedsReply : 0), 4);
  return bytes;
}

/** The one number of a payload. */
export function readNumber(payload: Buffer): bigint {
  requireLength(payload, 8);
  return payload.readBigUInt64LE(0);
}

/** A payload of one number. */
export function numberPayload(value: bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(value);
  return payload;
}

/** A ring's index and one number about it. */
export interface RingNumber {
  readonly index: number;
  readonly value: number;
}

/** The payload of a request about one number of a ring. */
export function readRingNumber(payload: Buffer): RingNumber {
  requireLength(payload, 8);
  return { index: payload.readUInt32LE(0), value: payload.readUInt32LE(4) };
}

/** The same as bytes. */
export function ringNumberPayload({ index, value }: RingNumber): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32LE(index, 0);
  payload.writeUInt32LE(value, 4);
  return payload;
}

/** Which ring a descriptor is for, and whether one comes with the message. */
export function readRingDescriptor(payload: Buffer): { readonly index: number; readonly hasDescriptor: boolean } {
  const value = Number(readNumber(payload) & 0xffffn);
  return { index: value & 0xff, hasDescriptor: (value & noDescriptor) === 0 };
}

/** Where the machine says that a ring is. */
export function readRingAddresses(payload: Buffer) {
  requireLength(payload, 40);
  const view = viewOf(payload);
  return {
    index: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    addresses: {
      descriptors: largeNumberAt(view, 8),
      used: largeNumberAt(view, 16),
      available: largeNumberAt(view, 24),
    },
  };
}

/** A region of the table; its memory is in the descriptor at the same place among those of the message. */
export interface RegionOfTable {
  readonly guestAddress: number;
  readonly size: number;
  readonly userAddress: number;
  readonly offset: number;
}

/** The regions of a memory table. */
export function readMemoryTable(payload: Buffer): RegionOfTable[] {
  if (payload.length < 8) throw protocolError(`a memory table of ${payload.length} bytes`);
  const count = payload.readUInt32LE(0);
  if (count === 0 || count > mostRegions || payload.length < 8 + count * regionLength) {
    throw protocolError(`${count} memory regions in ${payload.length} bytes, expected 1 to ${mostRegions}`);
  }
  const view = viewOf(payload);
  return Array.from({ length: count }, (_, place) => {
    const at = 8 + place * regionLength;
    return {
      guestAddress: largeNumberAt(view, at),
      size: largeNumberAt(view, at + 8),
      userAddress: largeNumberAt(view, at + 16),
      offset: largeNumberAt(view, at + 24),
    };
  });
}

/** The part of the configuration that the machine wants, as it came: the answer repeats it. */
export function readConfigRange(payload: Buffer) {
  if (payload.length < 12) throw protocolError(`a request for configuration of ${payload.length} bytes`);
  return { offset: payload.readUInt32LE(0), size: payload.readUInt32LE(4), head: payload.subarray(0, 12) };
}

/** That a machine has sent what none may send. */
export function protocolError(what: string): VsockDeviceError {
  return new VsockDeviceError("protocol", `invalid vhost-user message: ${what}`);
}

/** That the machine is gone. */
export function disconnectedError(cause?: Error): VsockDeviceError {
  const reason = cause === undefined ? "" : `: ${cause.message}`;
  return new VsockDeviceError("disconnected", `the machine has disconnected its vsock device${reason}`, { cause });
}

function requireLength(payload: Buffer, length: number): void {
  if (payload.length < length) throw protocolError(`a payload of ${payload.length} bytes, expected ${length}`);
}

function viewOf(payload: Buffer): DataView {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
}
