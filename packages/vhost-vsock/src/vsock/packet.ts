import { VsockDeviceError } from "../device-error.ts";
import { largeNumberAt } from "../memory/guest-memory.ts";
import type { BufferChain } from "../virtqueue/split-queue.ts";

/** Operations of a stream packet (virtio 1.2, 5.10.6). */
export const operations = {
  request: 1,
  response: 2,
  reset: 3,
  shutdown: 4,
  data: 5,
  creditUpdate: 6,
  creditRequest: 7,
} as const;

/** Flags of a shutdown: what its sender will no longer do. */
export const shutdownFlags = { receive: 1, send: 2, both: 3 } as const;

/** Bytes of a header. */
export const headerLength = 44;
/** The type of packets of stream sockets, the only ones there are. */
export const streamType = 1;
/** The host's address for every guest. */
export const hostCid = 2;
/** Linux sends at most this much in one packet. */
export const mostData = 64 * 1024;

/** What a packet says, without its data. */
export interface PacketHeader {
  readonly sourceCid: number;
  readonly targetCid: number;
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly length: number;
  readonly type: number;
  readonly operation: number;
  readonly flags: number;
  /** How much its sender holds for its reader, and how many bytes that reader has taken, modulo 2^32. */
  readonly bufferSize: number;
  readonly taken: number;
}

/** A packet of the guest. */
export interface Packet {
  readonly header: PacketHeader;
  /** A copy: the guest cannot change it any more. */
  readonly data: Buffer;
}

/** The packet in the buffers that a driver has filled. */
export function readPacket({ readable }: BufferChain): Packet {
  const available = readable.reduce((sum, piece) => sum + piece.length, 0);
  if (available < headerLength) {
    throw new VsockDeviceError("packet", `a vsock packet of ${available} bytes, expected at least ${headerLength}`);
  }
  const header = readHeader(copyOf(readable, 0, headerLength));
  const room = Math.min(available - headerLength, mostData);
  if (header.length > room) {
    throw new VsockDeviceError(
      "packet",
      `a vsock packet with ${header.length} bytes of data, expected at most ${room}`,
    );
  }
  return { header, data: copyOf(readable, headerLength, header.length) };
}

/** How much data there is room for beside the header in the buffers that a driver wants filled. */
export function roomIn({ writable }: BufferChain): number {
  const room = writable.reduce((sum, piece) => sum + piece.length, 0) - headerLength;
  if (room <= 0) {
    throw new VsockDeviceError("packet", `a receive buffer of ${room + headerLength} bytes, expected more than 44`);
  }
  return Math.min(room, mostData);
}

/** Writes a packet into buffers with enough room, and returns its length. */
export function writePacket({ writable }: BufferChain, header: PacketHeader, data: Uint8Array | undefined): number {
  const bytes = headerBytes(header);
  let piece = 0;
  let filled = 0;
  for (const part of data === undefined ? [bytes] : [bytes, data]) {
    for (let done = 0; done < part.length; ) {
      const target = writable[piece];
      if (target === undefined) throw new Error("a packet larger than its buffers");
      const count = Math.min(part.length - done, target.length - filled);
      target.set(part.subarray(done, done + count), filled);
      done += count;
      filled += count;
      if (filled === target.length) {
        piece++;
        filled = 0;
      }
    }
  }
  return headerLength + (data?.length ?? 0);
}

/** The header in 44 bytes. */
export function readHeader(bytes: Buffer): PacketHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerLength);
  return {
    sourceCid: largeNumberAt(view, 0),
    targetCid: largeNumberAt(view, 8),
    sourcePort: view.getUint32(16, true),
    targetPort: view.getUint32(20, true),
    length: view.getUint32(24, true),
    type: view.getUint16(28, true),
    operation: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufferSize: view.getUint32(36, true),
    taken: view.getUint32(40, true),
  };
}

/** A header as the bytes of it. */
export function headerBytes(header: PacketHeader): Buffer {
  const bytes = Buffer.alloc(headerLength);
  bytes.writeBigUInt64LE(BigInt(header.sourceCid), 0);
  bytes.writeBigUInt64LE(BigInt(header.targetCid), 8);
  bytes.writeUInt32LE(header.sourcePort, 16);
  bytes.writeUInt32LE(header.targetPort, 20);
  bytes.writeUInt32LE(header.length, 24);
  bytes.writeUInt16LE(header.type, 28);
  bytes.writeUInt16LE(header.operation, 30);
  bytes.writeUInt32LE(header.flags, 32);
  bytes.writeUInt32LE(header.bufferSize, 36);
  bytes.writeUInt32LE(header.taken, 40);
  return bytes;
}

function copyOf(pieces: readonly Uint8Array[], start: number, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  let skip = start;
  let filled = 0;
  for (const piece of pieces) {
    if (filled === length) break;
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const part = piece.subarray(skip, skip + length - filled);
    copy.set(part, filled);
    filled += part.length;
    skip = 0;
  }
  return copy;
}
