import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeHeader, type Frame, FrameDecoder, type FrameType, headerLength } from "./frame.ts";

const limit = 64;

interface Written {
  readonly streamId: number;
  readonly type: FrameType;
  readonly flags: number;
  readonly payload: Uint8Array;
}

function bytesOf({ streamId, type, flags, payload }: Written): Buffer {
  const header = Buffer.alloc(headerLength);
  encodeHeader(header, streamId, type, flags, payload.length);
  return Buffer.concat([header, payload]);
}

/** Decodes the bytes, which arrive in chunks that end at the given positions. */
function decode(bytes: Buffer, cuts: readonly number[], decoder = new FrameDecoder(limit)): Frame[] {
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((left, right) => left - right);
  const frames: Frame[] = [];
  let start = 0;
  for (const end of ends) {
    decoder.push(bytes.subarray(start, end));
    start = end;
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  }
  return frames;
}

const streamId = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const byte = fc.integer({ min: 0, max: 255 });
const written = fc.record({
  streamId,
  type: fc.constantFrom<FrameType>(1, 2, 3),
  flags: byte,
  payload: fc.uint8Array({ maxLength: 2 * limit }),
});
const cuts = fc.array(fc.nat(), { maxLength: 20 });

describe("FrameDecoder", () => {
  it("yields the same frames however the bytes are split, and skips oversized ones", () => {
    fc.assert(
      fc.property(fc.array(written, { maxLength: 8 }), cuts, (frames, cuts) => {
        const expected = frames.map(({ streamId, type, flags, payload }) =>
          payload.length > limit
            ? { kind: "oversize", streamId, type, length: payload.length }
            : { kind: "message", streamId, type, flags, payload: Buffer.from(payload) },
        );
        expect(decode(Buffer.concat(frames.map(bytesOf)), cuts)).toEqual(expected);
      }),
    );
  });

  it("accepts bytes while it still has frames", () => {
    const bytes = bytesOf({ streamId: 1, type: 1, flags: 0, payload: Buffer.from("a") });
    const decoder = new FrameDecoder(limit);
    decoder.push(Buffer.concat([bytes, bytes, bytes.subarray(0, 4)]));
    expect(decoder.next()).toMatchObject({ kind: "message" });
    expect(decode(bytes.subarray(4), [], decoder)).toHaveLength(2);
  });

  it("accepts arbitrary bytes, and yields nothing after an unknown type", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), cuts, (garbage, cuts) => {
        const kinds = decode(Buffer.from(garbage), cuts).map(({ kind }) => kind);
        expect(kinds.slice(0, -1)).not.toContain("unknownType");
      }),
    );
  });

  it("knows whether it is inside a frame at every byte", () => {
    const small = bytesOf({ streamId: 1, type: 1, flags: 0, payload: Buffer.alloc(3) });
    const large = bytesOf({ streamId: 3, type: 1, flags: 0, payload: Buffer.alloc(limit + 1) });
    for (const bytes of [small, large]) {
      for (let length = 0; length <= bytes.length; length++) {
        const decoder = new FrameDecoder(limit);
        decode(bytes.subarray(0, length), [], decoder);
        expect(decoder.insideFrame, `${length} of ${bytes.length}`).toBe(length > 0 && length < bytes.length);
      }
    }
  });

  it("does not copy a payload that arrives in one chunk", () => {
    const bytes = bytesOf({ streamId: 1, type: 1, flags: 0, payload: Buffer.from("payload") });
    const [frame] = decode(bytes, []);
    expect(frame?.kind === "message" && frame.payload.buffer).toBe(bytes.buffer);
  });

  it("keeps nothing of a chunk that it has used up, whole or skipped", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const decoders: FrameDecoder[] = [];
    const use = (length: number, cuts: readonly number[]): WeakRef<object> => {
      const decoder = new FrameDecoder(limit);
      const bytes = bytesOf({ streamId: 1, type: 1, flags: 0, payload: Buffer.alloc(length) });
      const alone = Buffer.from(Uint8Array.from(bytes).buffer);
      decode(alone, cuts, decoder);
      decoders.push(decoder);
      return new WeakRef(alone.buffer);
    };
    const kept = [use(0, []), use(limit, []), use(limit, [5, 20]), use(limit + 1, [])];
    // Until then a weak reference holds what it was made of.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(kept.map((chunk) => chunk.deref())).toEqual([undefined, undefined, undefined, undefined]);
    expect(decoders.every(({ insideFrame }) => !insideFrame)).toBe(true);
  });

  it("reports an unknown type with its stream", () => {
    const bytes = Buffer.from([0, 0, 0, 0, 0, 0, 0, 7, 9, 0, 1, 2, 3]);
    expect(decode(bytes, [])).toEqual([{ kind: "unknownType", streamId: 7, type: 9 }]);
  });
});
