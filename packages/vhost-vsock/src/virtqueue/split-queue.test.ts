import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VsockDeviceError } from "../device-error.ts";
import { GuestMemory } from "../memory/guest-memory.ts";
import { FakeRing } from "../testing/fake-ring.ts";
import { type QueueFeatures, SplitQueue } from "./split-queue.ts";

const size = 8;
const half = 0x8000;

/** 64 KiB of memory in two regions, with a ring in the first one and nothing of it mapped from anywhere. */
function makeMemory() {
  const buffers = [new ArrayBuffer(half), new ArrayBuffer(half)] as const;
  const memory = new GuestMemory(
    buffers.map((buffer, place) => ({
      guestAddress: place * half,
      userAddress: place * half,
      size: half,
      mapping: { buffer, unmap: () => {} },
    })),
  );
  return { memory, bytes: new Uint8Array(buffers[0]), view: new DataView(buffers[0]), buffers };
}

function makeQueue(features: QueueFeatures = { indirect: true, eventIndex: false }) {
  const parts = makeMemory();
  const ring = new FakeRing(parts.view, 0, size, features.eventIndex);
  const queue = new SplitQueue(parts.memory, size, ring.places, features, 0);
  return { ...parts, ring, queue };
}

describe("a split queue", () => {
  it("takes chains in the driver's order, and gives them back in any", () => {
    const { ring, queue } = makeQueue();
    for (const slot of [3, 1]) {
      ring.describe(slot, { address: 0x6000 + slot, length: slot, isWritable: slot === 3 });
      ring.offer(slot);
    }
    const [first, second] = [queue.take(), queue.take()];
    expect([first?.head, first?.writable[0]?.length]).toEqual([3, 3]);
    expect([second?.head, second?.readable[0]?.length]).toEqual([1, 1]);
    expect(queue.take()).toBeUndefined();
    queue.giveBack(1, 0);
    queue.giveBack(3, 3);
    const returned: [number, number][] = [];
    ring.takeUsed((slot, length) => returned.push([slot, length]));
    expect(returned).toEqual([]);
    expect(queue.publish()).toBe(true);
    expect(queue.publish()).toBe(false);
    ring.takeUsed((slot, length) => returned.push([slot, length]));
    expect(returned).toEqual([
      [1, 0],
      [3, 3],
    ]);
  });

  it("finds a buffer in two pieces where two regions meet", () => {
    const { ring, queue, buffers } = makeQueue();
    ring.describe(0, { address: half - 10, length: 30 });
    ring.offer(0);
    const pieces = queue.take()?.readable ?? [];
    expect(pieces.map((piece) => [piece.buffer === buffers[0], piece.length])).toEqual([
      [true, 10],
      [false, 20],
    ]);
  });

  it.each([false, true])("goes round its rings and numbers many times (event indexes: %s)", (eventIndex) => {
    const { ring, queue } = makeQueue({ indirect: false, eventIndex });
    let interrupts = 0;
    let wrong = 0;
    for (let round = 0; round < 70_000; round++) {
      ring.describe(round % size, { address: 0x6000, length: 1 });
      ring.offer(round % size);
      if (queue.take()?.head !== round % size) wrong++;
      queue.giveBack(round % size, round);
      if (queue.publish()) interrupts++;
      ring.takeUsed((slot) => {
        if (slot !== round % size) wrong++;
      });
    }
    expect(wrong).toBe(0);
    expect(interrupts).toBe(70_000);
    expect(queue.base).toBe(70_000 - 65_536);
  });

  it.each([false, true])("never sleeps while there is a chain (event indexes: %s)", (eventIndex) => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("offer", "take", "sleep"), { maxLength: 100 }), (steps) => {
        const { ring, queue } = makeQueue({ indirect: false, eventIndex });
        let isAsleep = false;
        let offered = 0;
        for (const step of steps) {
          if (step === "offer" && offered < size) {
            ring.offer(0);
            offered++;
            if (ring.wantsKick()) isAsleep = false;
          } else if (step === "take" && !isAsleep) {
            queue.ignoreKicks();
            if (queue.take() !== undefined) {
              queue.giveBack(0, 0);
              queue.publish();
              offered--;
            }
          } else if (step === "sleep") {
            isAsleep = !queue.awaitKick();
          }
          expect(isAsleep && offered > 0, "sleeps through a chain").toBe(false);
        }
      }),
    );
  });

  it("reads any memory in bounded time, and nothing outside", () => {
    const word = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 0xffff }));
    const descriptor = fc.record({
      address: fc.oneof(fc.integer({ min: 0, max: 2 * half + 10 }), fc.maxSafeInteger().map(Math.abs)),
      length: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffffffff })),
      flags: fc.integer({ min: 0, max: 7 }),
      next: word,
    });
    fc.assert(
      fc.property(
        fc.array(descriptor, { minLength: 40, maxLength: 40 }),
        fc.array(word),
        fc.nat(20),
        (table, heads, count) => {
          const { view, ring, queue, buffers } = makeQueue();
          for (const [place, { address, length, flags, next }] of table.entries()) {
            // Beyond the ring's own table there are those that indirect descriptors may find.
            view.setBigUint64(place * 16, BigInt(address), true);
            view.setUint32(place * 16 + 8, length, true);
            view.setUint16(place * 16 + 12, flags, true);
            view.setUint16(place * 16 + 14, next, true);
          }
          for (const [place, head] of heads.slice(0, size).entries()) {
            view.setUint16(ring.places.available + 4 + 2 * place, head, true);
          }
          view.setUint16(ring.places.available + 2, count, true);
          try {
            for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
              for (const piece of [...chain.readable, ...chain.writable]) {
                expect(buffers).toContain(piece.buffer);
                expect(piece.byteOffset + piece.length).toBeLessThanOrEqual(half);
              }
            }
          } catch (error) {
            expect(error).toBeInstanceOf(VsockDeviceError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("has nothing once its memory is unmapped", () => {
    const { ring, queue, buffers } = makeQueue();
    ring.describe(0, { address: half + 5, length: 5 });
    ring.offer(0);
    buffers[1].transfer();
    expect(() => queue.take()).toThrow("detached");
    buffers[0].transfer();
    expect(() => queue.take()).toThrow("detached");
  });
});
