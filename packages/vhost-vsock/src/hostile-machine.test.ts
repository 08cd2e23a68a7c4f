import { closeSync, openSync } from "node:fs";
import { createEventCounter, createSharedMemory } from "@uvm-shim/linux-calls";
import { afterEach, describe, expect, it } from "vitest";
import { Bench, openDescriptors, turnsUntil } from "./testing/bench.ts";
import { type FakeDriver, userAddresses } from "./testing/fake-driver.ts";
import { numberPayload, requests, ringNumberPayload } from "./vhost-user/requests.ts";

let bench: Bench;

afterEach(() => bench.close());

function message(parts: { request?: number; flags?: number; length?: number }, payload = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(parts.request ?? requests.setOwner, 0);
  header.writeUInt32LE(parts.flags ?? 1, 4);
  header.writeUInt32LE(parts.length ?? payload.length, 8);
  return Buffer.concat([header, payload]);
}

function memoryTable(regions: readonly { size: number; offset?: number }[], count = regions.length): Buffer {
  const table = Buffer.alloc(8 + regions.length * 32);
  table.writeUInt32LE(count, 0);
  for (const [place, { size, offset = 0 }] of regions.entries()) {
    table.writeBigUInt64LE(BigInt(size), 8 + place * 32 + 8);
    table.writeBigUInt64LE(BigInt(offset), 8 + place * 32 + 24);
  }
  return table;
}

/** Sends copies of descriptors that are closed here at once. */
function tellWith(driver: FakeDriver, request: number, payload: Buffer, descriptors: readonly number[]): void {
  driver.tell(request, payload, descriptors);
  for (const descriptor of descriptors) closeSync(descriptor);
}

function addresses(parts: { index?: number; descriptors?: number; used?: number; available?: number }): Buffer {
  const payload = Buffer.alloc(40);
  payload.writeUInt32LE(parts.index ?? 0, 0);
  const usual = userAddresses[0];
  const all = [parts.descriptors ?? usual, parts.used ?? usual + 0x4000, parts.available ?? usual + 0x3000];
  for (const [place, address] of all.entries()) payload.writeBigUInt64LE(BigInt(address), 8 + place * 8);
  return payload;
}

const attacks: [string, string, (driver: FakeDriver) => void][] = [
  [
    "a message of another version",
    "flags 2, expected a request of version 1",
    (d) => d.socket.send(message({ flags: 2 })),
  ],
  ["a reply", "flags 5, expected a request", (d) => d.socket.send(message({ flags: 5 }))],
  ["a huge message", "a payload of 4294967295 bytes", (d) => d.socket.send(message({ length: 0xffffffff }))],
  ["an unknown request", "request 4711", (d) => d.tell(4711, Buffer.alloc(0))],
  ["a request for dirty logging", "request 6", (d) => d.tell(6, Buffer.alloc(16))],
  ["features that were not offered", "features 0x4000000 were not", (d) => d.tell(2, numberPayload(1n << 26n))],
  ["protocol features that were not offered", "features 0x1000 were not", (d) => d.tell(16, numberPayload(1n << 12n))],
  ["a number that is short", "a payload of 4 bytes, expected 8", (d) => d.tell(2, Buffer.alloc(4))],
  [
    "the end amid a header",
    "the end of the connection",
    (d) => {
      d.socket.send(Buffer.alloc(5));
      d.socket.close();
    },
  ],
  [
    "the end amid a payload",
    "the end of the connection",
    (d) => {
      d.socket.send(message({ length: 8 }));
      d.socket.close();
    },
  ],
  [
    "a ring that does not exist",
    "ring 2, expected one below 2",
    (d) => d.tell(8, ringNumberPayload({ index: 2, value: 16 })),
  ],
  ["a ring of no entries", "a ring of 0 entries", (d) => d.tell(8, ringNumberPayload({ index: 0, value: 0 }))],
  ["a ring of 3 entries", "a ring of 3 entries", (d) => d.tell(8, ringNumberPayload({ index: 0, value: 3 }))],
  ["a ring of 2048 entries", "a ring of 2048 entries", (d) => d.tell(8, ringNumberPayload({ index: 0, value: 2048 }))],
  ["a base beyond 16 bits", "ring base 65536", (d) => d.tell(10, ringNumberPayload({ index: 0, value: 65536 }))],
  ["a kick without descriptor", "0 file descriptors, expected 1", (d) => d.tell(12, numberPayload(0n))],
  ["a ring to be polled", "would have to be polled", (d) => d.tell(12, numberPayload(0x100n))],
  [
    "two descriptors for a kick",
    "2 file descriptors, expected 1",
    (d) => tellWith(d, 12, numberPayload(0n), [createEventCounter(), createEventCounter()]),
  ],
  ["a file for a kick", "no eventfd", (d) => tellWith(d, 12, numberPayload(0n), [openSync("/dev/null", "r")])],
  [
    "more descriptors than a message may have",
    "too many file descriptors",
    (d) => tellWith(d, 5, memoryTable([{ size: 4096 }]), Array.from({ length: 9 }, createEventCounter)),
  ],
  ["no memory", "0 memory regions", (d) => d.tell(5, memoryTable([]))],
  [
    "a table that is shorter than it says",
    "8 memory regions in 40 bytes",
    (d) => d.tell(5, memoryTable([{ size: 1 }], 8)),
  ],
  [
    "memory without descriptors",
    "0 file descriptors for 1 memory regions",
    (d) => d.tell(5, memoryTable([{ size: 4096 }])),
  ],
  [
    "memory beyond its file",
    "invalid part of shared memory 0+8192: expected one within 4096 bytes",
    (d) => tellWith(d, 5, memoryTable([{ size: 8192 }]), [createSharedMemory("short", 4096)]),
  ],
  [
    "memory from the middle of a page",
    "memory at offset 1 of its file",
    (d) => tellWith(d, 5, memoryTable([{ size: 100, offset: 1 }]), [createSharedMemory("odd", 4096)]),
  ],
  [
    "memory that can be taken away",
    "cannot be mapped",
    (d) => tellWith(d, 5, memoryTable([{ size: 4096 }]), [openSync("/dev/zero", "r+")]),
  ],
  ["rings outside the memory", "bytes at 0x1000 are outside", (d) => d.tell(9, addresses({ descriptors: 0x1000 }))],
  [
    "rings that end outside the memory",
    "are outside the guest's memory",
    (d) => d.tell(9, addresses({ used: userAddresses[0] + (4 << 20) - 8 })),
  ],
  ["crooked rings", "expected a multiple of 16", (d) => d.tell(9, addresses({ descriptors: userAddresses[0] + 8 }))],
  [
    "configuration that does not exist",
    "configuration 4+8, expected within 8 bytes",
    (d) => d.tell(24, configRequest(4, 8)),
  ],
  ["another address for its guest", "a change of the configuration", (d) => d.tell(25, configRequest(0, 8))],
];

function configRequest(offset: number, size: number): Buffer {
  const payload = Buffer.alloc(12 + size);
  payload.writeUInt32LE(offset, 0);
  payload.writeUInt32LE(size, 4);
  return payload;
}

describe("a machine that sends", () => {
  it.each(attacks)("%s ends its device, which keeps no descriptor", async (_, expected, attack) => {
    const before = openDescriptors();
    bench = await Bench.boot();
    attack(bench.driver);
    const end = await bench.device.ended;
    expect(end.kind === "failed" && end.error.message).toContain(expected);
    expect(end.kind === "failed" && end.error.code).toMatch(/^(protocol|memory)$/);
    bench.driver.close();
    await turnsUntil(() => openDescriptors() <= before);
  });

  it("nothing more ends its device with the reason", async () => {
    bench = await Bench.connect();
    bench.driver.socket.close();
    expect(await bench.device.ended).toMatchObject({
      error: { code: "disconnected", message: "the machine has disconnected its vsock device" },
    });
    await expect(Bench.boot().then((other) => other.close())).resolves.toBeUndefined();
  });

  it("messages in pieces is understood", async () => {
    bench = await Bench.connect();
    const bytes = message({ request: requests.getFeatures });
    const answer = bench.driver.ask(requests.setOwner, Buffer.alloc(0));
    for (const byte of bytes) {
      bench.driver.socket.send(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect((await answer).readBigUInt64LE()).toBe(0x170000000n);
  });

  it("requests that want an answer gets one, once it has agreed to that", async () => {
    bench = await Bench.connect();
    await bench.driver.negotiate();
    expect((await bench.driver.ask(requests.setOwner, Buffer.alloc(0), true)).readBigUInt64LE()).toBe(0n);
  });
});
