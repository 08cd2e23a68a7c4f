/**
 * ttrpc frames: a header of 10 bytes (payload length and stream id, both 32 bits big-endian, then type and flags) and
 * the payload. Source of facts: the protocol page of containerd/ttrpc.
 */
import type { TtrpcError } from "./status.ts";

/** Bytes of a header. */
export const headerLength = 10;
/** The largest payload that the protocol allows. */
export const protocolMaxMessageSize = 4 << 20;

/** The types of messages (PROTOCOL.md, "Message Frame"). */
export const frameType = { request: 1, response: 2, data: 3 } as const;
/** The number of a type. */
export type FrameType = (typeof frameType)[keyof typeof frameType];

/** The flags of messages: whether the sender has no more to send, expects more, or sends a stream's end without data. */
export const frameFlag = { remoteClosed: 1, remoteOpen: 2, noData: 4 } as const;

/** What the decoder makes of the bytes of one frame. */
export type Frame =
  | {
      readonly kind: "message";
      readonly streamId: number;
      readonly type: FrameType;
      readonly flags: number;
      readonly payload: Uint8Array;
    }
  /** The payload is too long; the decoder skips it. */
  | { readonly kind: "oversize"; readonly streamId: number; readonly type: FrameType; readonly length: number }
  /** There is no room for the payload; the decoder skips it. */
  | { readonly kind: "unadmitted"; readonly streamId: number; readonly type: FrameType; readonly refusal: TtrpcError }
  /** The decoder stops after it: the bytes that follow cannot be interpreted. */
  | { readonly kind: "unknownType"; readonly streamId: number; readonly type: number };

type DecoderState =
  | { readonly at: "header" }
  | { readonly at: "payload"; readonly frame: Omit<Frame & { kind: "message" }, "payload">; readonly into: Buffer }
  | { readonly at: "skip" }
  | { readonly at: "end" };

const noBytes = Buffer.alloc(0);

function typeOf(byte: number): FrameType | undefined {
  return byte === frameType.request || byte === frameType.response || byte === frameType.data ? byte : undefined;
}

/** Cuts a byte stream into frames. Holds at most one payload of the maximum size and one chunk. */
export class FrameDecoder {
  readonly #maxMessageSize: number;
  readonly #admit: (length: number) => TtrpcError | undefined;
  readonly #header = Buffer.alloc(headerLength);
  #state: DecoderState = { at: "header" };
  /** Bytes of the header or payload that have arrived. */
  #filled = 0;
  /** Bytes left to skip. */
  #toSkip = 0;
  #chunk: Buffer = noBytes;

  /** `admit` is asked why a payload has to be refused. One that has not is delivered, or else is in `unfinishedBytes`. */
  constructor(maxMessageSize: number, admit: (length: number) => TtrpcError | undefined = () => undefined) {
    this.#maxMessageSize = maxMessageSize;
    this.#admit = admit;
  }

  /** The length of the payload that has been admitted and has not arrived as a whole. */
  get unfinishedBytes(): number {
    return this.#state.at === "payload" ? this.#state.into.length : 0;
  }

  /** Adds the next bytes. Copies the rest of the previous chunk unless `next` has returned undefined. */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#chunk = this.#chunk.length === 0 ? bytes : Buffer.concat([this.#chunk, bytes]);
  }

  /** Whether the bytes so far end inside a frame. */
  get insideFrame(): boolean {
    return this.#filled > 0 || this.#toSkip > 0 || this.#state.at === "payload";
  }

  /** The next whole frame, or undefined when more bytes are needed. */
  next(): Frame | undefined {
    for (;;) {
      const state = this.#state;
      switch (state.at) {
        case "header": {
          const header = this.#take(headerLength);
          if (header === undefined) {
            if (!this.#fill(this.#header)) return undefined;
            this.#filled = 0;
          }
          const frame = this.#startFrame(header ?? this.#header);
          if (frame !== undefined) return frame;
          break;
        }
        case "payload": {
          if (!this.#fill(state.into)) return undefined;
          this.#filled = 0;
          this.#state = { at: "header" };
          return { ...state.frame, payload: state.into };
        }
        case "skip": {
          const skipped = Math.min(this.#toSkip, this.#chunk.length);
          this.#pass(skipped);
          this.#toSkip -= skipped;
          if (this.#toSkip > 0) return undefined;
          this.#state = { at: "header" };
          break;
        }
        case "end":
          return undefined;
        default:
          return state satisfies never;
      }
    }
  }

  #startFrame(header: Buffer): Frame | undefined {
    const length = header.readUInt32BE(0);
    const streamId = header.readUInt32BE(4);
    const type = typeOf(header.readUInt8(8));
    if (type === undefined) {
      this.#state = { at: "end" };
      this.#chunk = noBytes;
      return { kind: "unknownType", streamId, type: header.readUInt8(8) };
    }
    if (length > this.#maxMessageSize) {
      this.#state = { at: "skip" };
      this.#toSkip = length;
      return { kind: "oversize", streamId, type, length };
    }
    const refusal = this.#admit(length);
    if (refusal !== undefined) {
      this.#state = { at: "skip" };
      this.#toSkip = length;
      return { kind: "unadmitted", streamId, type, refusal };
    }
    const frame = { kind: "message" as const, streamId, type, flags: header.readUInt8(9) };
    const payload = this.#take(length);
    if (payload !== undefined) return { ...frame, payload };
    this.#state = { at: "payload", frame, into: Buffer.allocUnsafeSlow(length) };
    return undefined;
  }

  /** A view of the next `length` bytes, without copying, if they are all in the chunk. */
  #take(length: number): Buffer | undefined {
    if (this.#filled > 0 || this.#chunk.length < length) return undefined;
    const view = this.#chunk.subarray(0, length);
    this.#pass(length);
    return view;
  }

  /** Copies arrived bytes into `into`; true once it is full. */
  #fill(into: Buffer): boolean {
    const copied = this.#chunk.copy(into, this.#filled);
    this.#pass(copied);
    this.#filled += copied;
    return this.#filled === into.length;
  }

  /** An empty view would keep the memory of all its bytes, up to 64 KiB for each connection that waits. */
  #pass(length: number): void {
    this.#chunk = length === this.#chunk.length ? noBytes : this.#chunk.subarray(length);
  }
}

/** Writes the ten bytes of a header: length, stream, type and flags, big endian. */
export function encodeHeader(into: Buffer, streamId: number, type: FrameType, flags: number, length: number): void {
  into.writeUInt32BE(length, 0);
  into.writeUInt32BE(streamId, 4);
  into.writeUInt8(type, 8);
  into.writeUInt8(flags, 9);
}
