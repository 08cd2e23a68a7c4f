import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { messageTypeOf, procedureOfRequest, procedures } from "./index.ts";
import {
  containerNotificationType,
  encodeFrame,
  type Frame,
  FrameDecoder,
  kindOf,
  messageType,
  responseTypeOf,
  type TakenBytes,
} from "./wire.ts";

const frame = (type: number, id: bigint, body: string): Frame => ({ type, id, body: Buffer.from(body) });

function decodeInPieces(bytes: Buffer, cuts: readonly number[], limit = 1024, takenBytes?: TakenBytes): Frame[] {
  const decoder = new FrameDecoder(limit, takenBytes);
  const frames: Frame[] = [];
  let start = 0;
  for (const end of [...cuts.filter((cut) => cut <= bytes.length).toSorted((a, b) => a - b), bytes.length]) {
    frames.push(...decoder.push(bytes.subarray(start, end)));
    start = end;
  }
  return frames;
}

describe("message types", () => {
  it("have the numbers of the protocol", () => {
    expect(messageType("request", procedures.create.number)).toBe(0x10100101);
    expect(messageType("request", procedures.negotiateProtocol.number)).toBe(0x10100b01);
    expect(messageType("response", procedures.deleteContainerState.number)).toBe(0x20100d01);
    expect(containerNotificationType).toBe(0x30100101);
    expect(messageTypeOf("request", "modifyServiceSettings")).toBe(0x10200101);
    expect(messageTypeOf("response", "modifyServiceSettings")).toBe(0x20200101);
    const ofSystems = Object.values(procedures).filter(
      ({ category = "computeSystem" }) => category === "computeSystem",
    );
    expect(ofSystems.map((procedure) => procedure.number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  });

  it("encode their kind and procedure", () => {
    expect(kindOf(0x10100101)).toBe("request");
    expect(kindOf(0x20100101)).toBe("response");
    expect(kindOf(0x30100101)).toBe("notification");
    expect(kindOf(0xf0100101)).toBeUndefined();
    expect(procedureOfRequest(0x10100501)).toBe("executeProcess");
    expect(procedureOfRequest(0x10200101)).toBe("modifyServiceSettings");
    expect(procedureOfRequest(0x10300101)).toBeUndefined();
    expect(responseTypeOf(0x10fff7ff)).toBe(0x20fff7ff);
  });
});

describe("frames", () => {
  it("are a little endian header and the body", () => {
    expect(encodeFrame(frame(0x10100101, 0x0102030405060708n, "{}")).toString("hex")).toBe(
      "01011010120000000807060504030201" + "7b7d",
    );
  });

  it("are decoded however the bytes are cut", () => {
    const frames = fc.array(
      fc.record({
        type: fc.nat(0xffffffff),
        id: fc.bigInt(0n, 2n ** 64n - 1n),
        body: fc.uint8Array({ maxLength: 300 }),
      }),
    );
    fc.assert(
      fc.property(frames, fc.array(fc.nat(2000)), (list, cuts) => {
        const sent = list.map(({ type, id, body }) => ({ type, id, body: Buffer.from(body) }));
        expect(decodeInPieces(Buffer.concat(sent.map(encodeFrame)), cuts)).toEqual(sent);
      }),
    );
  });

  it("drop a body that exceeds the limit, without affecting later frames", () => {
    const lengths = fc.array(fc.nat(60), { maxLength: 8 });
    fc.assert(
      fc.property(lengths, fc.array(fc.nat(600)), fc.nat(40), (list, cuts, taken) => {
        const sent = list.map((length, index) => frame(index, BigInt(index), "x".repeat(length)));
        const expected = sent.map(({ type, id, body }) =>
          body.length > taken ? { type, id, body: Buffer.alloc(0), dropped: body.length } : { type, id, body },
        );
        expect(decodeInPieces(Buffer.concat(sent.map(encodeFrame)), cuts, 1024, () => taken)).toEqual(expected);
      }),
    );
  });

  it("never throw anything but a GcsError on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat(400)), (bytes, cuts) => {
        try {
          for (const { body } of decodeInPieces(Buffer.from(bytes), cuts, 64))
            expect(body.length).toBeLessThanOrEqual(48);
        } catch (error) {
          expect(error).toMatchObject({ name: "GcsError", message: expect.stringContaining("expected 16 to 64") });
        }
      }),
    );
  });

  it("are refused by their header if the size is out of bounds, after earlier frames", () => {
    const decoder = new FrameDecoder(32);
    const bytes = Buffer.concat([encodeFrame(frame(1, 1n, "ok")), encodeFrame(frame(2, 2n, "x".repeat(17)))]);
    const frames = decoder.push(bytes);
    expect(frames.next().value).toEqual(frame(1, 1n, "ok"));
    expect(() => frames.next()).toThrow("frame of 33 bytes: expected 16 to 32");
  });

  it("accept a body of the maximum size, and report an unfinished one", () => {
    const decoder = new FrameDecoder(32);
    const bytes = encodeFrame(frame(1, 1n, "x".repeat(16)));
    expect([...decoder.push(bytes.subarray(0, 20))]).toEqual([]);
    expect(decoder.isInsideFrame).toBe(true);
    expect([...decoder.push(bytes.subarray(20))]).toHaveLength(1);
    expect(decoder.isInsideFrame).toBe(false);
  });
});
