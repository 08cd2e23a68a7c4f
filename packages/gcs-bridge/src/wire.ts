/**
 * Frames of the GCS protocol (facts: microsoft/hcsshim, internal/gcs/prot and internal/guest/prot). A frame is a
 * header of 16 bytes, little endian, and a JSON body: u32 message type, u32 size of header and body, u64 message id.
 * A message type is 4 bits of kind, 8 bits of category, 12 bits of procedure and 8 bits of version.
 */
import { GcsError } from "./error.ts";

/** Bytes of a frame before its body. */
export const headerSize = 16;

/**
 * Default maximum size of a frame, header included. hcsshim accepts 64 KiB, which the process list of a
 * large container exceeds; any limit protects the memory.
 */
export const defaultMaxMessageSize = 4 * 1024 * 1024;

/** Older versions are out of use. */
export const protocolVersion = 4;

/** The id of the VM itself in place of a container id. */
export const uvmContainerId = "00000000-0000-0000-0000-000000000000";

/** The kinds of messages, by the numbers in a frame's header. */
export const messageKinds = { request: 0x1, response: 0x2, notification: 0x3 } as const;
/** One of `messageKinds`. */
export type MessageKind = keyof typeof messageKinds;

/** What a message is about: a compute system, or the guest's services. By the numbers in a frame's header. */
export const messageCategories = { computeSystem: 0x001, computeService: 0x002 } as const;
/** One of `messageCategories`. */
export type MessageCategory = keyof typeof messageCategories;

const messageVersion = 1;

/** An unsolicited change of a container. */
export const containerNotificationType = messageType("notification", 1);

/** The first 32 bits of a frame. */
export function messageType(kind: MessageKind, procedure: number, category: MessageCategory = "computeSystem"): number {
  return ((messageKinds[kind] << 28) | (messageCategories[category] << 20) | (procedure << 8) | messageVersion) >>> 0;
}

/** Undefined for an unknown kind. */
export function kindOf(type: number): MessageKind | undefined {
  const bits = type >>> 28;
  return (Object.keys(messageKinds) as MessageKind[]).find((kind) => messageKinds[kind] === bits);
}

/** Defined for unknown procedures as well. */
export function responseTypeOf(requestType: number): number {
  return ((requestType & 0x0fffffff) | (messageKinds.response << 28)) >>> 0;
}

/** One message, whole: its type as in the header, its id and its JSON. */
export interface Frame {
  readonly type: number;
  readonly id: bigint;
  readonly body: Buffer;
  /** Size of a body that exceeded its limit and was dropped while it was received. */
  readonly dropped?: number;
}

/** The maximum size of a frame's body, decided by its header. */
export type TakenBytes = (header: Pick<Frame, "type" | "id">) => number;

/** The bytes of a message. */
export function encodeFrame(frame: Frame): Buffer {
  const bytes = Buffer.allocUnsafe(headerSize + frame.body.length);
  bytes.writeUInt32LE(frame.type, 0);
  bytes.writeUInt32LE(bytes.length, 4);
  bytes.writeBigUInt64LE(frame.id, 8);
  frame.body.copy(bytes, headerSize);
  return bytes;
}

/**
 * Cuts a byte stream into frames. Each byte is copied once, and at most one frame is held; a body that exceeds its limit
 * is not stored at all.
 */
export class FrameDecoder {
  readonly #maxMessageSize: number;
  readonly #takenBytes: TakenBytes;
  readonly #header = Buffer.alloc(headerSize);
  #headerFilled = 0;
  #frame: Frame | undefined;
  /** Bytes of the frame's body that are still to come. */
  #missing = 0;

  constructor(maxMessageSize: number, takenBytes: TakenBytes = () => maxMessageSize) {
    this.#maxMessageSize = maxMessageSize;
    this.#takenBytes = takenBytes;
  }

  /** Whether the bytes so far end inside a frame. */
  get isInsideFrame(): boolean {
    return this.#headerFilled > 0;
  }

  /** Yields the frames that these bytes complete. Throws a GcsError if a size is out of bounds. */
  *push(chunk: Uint8Array): Generator<Frame, void> {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#frame === undefined) {
        const taken = chunk.subarray(offset, offset + headerSize - this.#headerFilled);
        this.#header.set(taken, this.#headerFilled);
        this.#headerFilled += taken.length;
        offset += taken.length;
        if (this.#headerFilled < headerSize) return;
        this.#missing = this.#bodySize();
        this.#frame = this.#begun(this.#missing);
      }
      const frame = this.#frame;
      const taken = chunk.subarray(offset, offset + this.#missing);
      if (frame.dropped === undefined) frame.body.set(taken, frame.body.length - this.#missing);
      this.#missing -= taken.length;
      offset += taken.length;
      if (this.#missing > 0) return;
      this.#headerFilled = 0;
      this.#frame = undefined;
      yield frame;
    }
  }

  #begun(size: number): Frame {
    const header = { type: this.#header.readUInt32LE(0), id: this.#header.readBigUInt64LE(8) };
    if (size > this.#takenBytes(header)) return { ...header, body: Buffer.alloc(0), dropped: size };
    return { ...header, body: Buffer.allocUnsafe(size) };
  }

  #bodySize(): number {
    const size = this.#header.readUInt32LE(4);
    if (size < headerSize || size > this.#maxMessageSize) {
      throw new GcsError(
        "Internal",
        `invalid frame of ${size} bytes: expected ${headerSize} to ${this.#maxMessageSize}`,
      );
    }
    return size - headerSize;
  }
}
