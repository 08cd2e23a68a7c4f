import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Bench, openDescriptors, pattern, readAll, someTurns, turnsUntil } from "./testing/bench.ts";
import { type FakeDriver, secondRegion } from "./testing/fake-driver.ts";
import { packetOf } from "./testing/fake-guest.ts";
import { operations, readHeader, shutdownFlags } from "./vsock/packet.ts";

let bench: Bench;

afterEach(() => bench.close());

const endOfMemory = 2 * secondRegion;
const indirect = 4;
/** Free memory of the guest, with nothing in it. */
const free = 0x80000;

/** What a driver puts where a packet should be. */
const attacks: [string, string, (driver: FakeDriver) => void][] = [
  [
    "a buffer outside its memory",
    "100 bytes at 0x800000 are outside the guest's memory",
    ({ fromGuest }) => fromGuest.describe(0, { address: endOfMemory, length: 100 }),
  ],
  [
    "a buffer that begins inside and ends outside",
    "200 bytes at 0x7fff9c are outside the guest's memory",
    ({ fromGuest }) => fromGuest.describe(0, { address: endOfMemory - 100, length: 200 }),
  ],
  [
    "the largest buffer",
    "4294967295 bytes at 0x0 are outside the guest's memory",
    ({ fromGuest }) => fromGuest.describe(0, { address: 0, length: 0xffffffff }),
  ],
  [
    "a buffer at the end of the address space",
    "outside the guest's memory",
    ({ fromGuest, view }) => {
      fromGuest.describe(0, { address: 0, length: 100 });
      view.setBigUint64(fromGuest.places.descriptors, 0xfffffffffffffff0n, true);
    },
  ],
  [
    "a chain that leads to itself",
    "a chain of more than 16 descriptors",
    ({ fromGuest }) => fromGuest.describe(0, { address: free, length: 10, next: 0 }),
  ],
  [
    "a chain that leads in a circle",
    "a chain of more than 16 descriptors",
    ({ fromGuest }) => {
      fromGuest.describe(0, { address: free, length: 0, next: 1 });
      fromGuest.describe(1, { address: free, length: 0, next: 0 });
    },
  ],
  [
    "a chain that leads out of the table",
    "descriptor 16, expected one below 16",
    ({ fromGuest }) => fromGuest.describe(0, { address: free, length: 44, next: 16 }),
  ],
  [
    "an indirect table outside its memory",
    "16384 bytes at 0x800000 are outside the guest's memory",
    ({ fromGuest }) => fromGuest.describe(0, { address: endOfMemory, length: 16384, flags: indirect }),
  ],
  [
    "an indirect table across two regions",
    "32 bytes at 0x3ffff0 are outside the guest's memory",
    ({ fromGuest }) => fromGuest.describe(0, { address: secondRegion - 16, length: 32, flags: indirect }),
  ],
  [
    "a huge indirect table",
    "an indirect table of 4194304 bytes",
    ({ fromGuest }) => fromGuest.describe(0, { address: 0, length: secondRegion, flags: indirect }),
  ],
  [
    "an indirect table of half an entry",
    "an indirect table of 8 bytes",
    ({ fromGuest }) => fromGuest.describe(0, { address: free, length: 8, flags: indirect }),
  ],
  [
    "an indirect table in an indirect table",
    "an indirect descriptor where none may be (flags 4)",
    ({ fromGuest, view }) => {
      fromGuest.describe(0, { address: free, length: 16, flags: indirect });
      view.setBigUint64(free, BigInt(free), true);
      view.setUint32(free + 8, 16, true);
      view.setUint16(free + 12, indirect, true);
    },
  ],
  [
    "an indirect table that goes on behind itself",
    "an indirect descriptor where none may be (flags 5)",
    ({ fromGuest }) => fromGuest.describe(0, { address: free, length: 16, flags: indirect, next: 1 }),
  ],
  [
    "a readable buffer after a writable one",
    "a readable buffer after a writable one",
    ({ fromGuest }) => {
      fromGuest.describe(0, { address: free, length: 44, isWritable: true, next: 1 });
      fromGuest.describe(1, { address: free, length: 44 });
    },
  ],
  [
    "nothing to read",
    "a vsock packet of 0 bytes, expected at least 44",
    ({ fromGuest }) => fromGuest.describe(0, { address: free, length: 4096, isWritable: true }),
  ],
  [
    "half a header",
    "a vsock packet of 43 bytes, expected at least 44",
    ({ fromGuest }) => fromGuest.describe(0, { address: free, length: 43 }),
  ],
  [
    "a packet that is shorter than it says",
    "a vsock packet with 11 bytes of data, expected at most 10",
    ({ fromGuest, bytes }) => {
      packetOf({ operation: operations.data, length: 11 }).copy(bytes, free);
      fromGuest.describe(0, { address: free, length: 54 });
    },
  ],
  [
    "a packet of a gibibyte",
    "a vsock packet with 1073741824 bytes of data, expected at most 65536",
    ({ fromGuest, bytes }) => {
      packetOf({ operation: operations.data, length: 1 << 30 }).copy(bytes, free);
      fromGuest.describe(0, { address: free, length: 1 << 20 });
    },
  ],
  [
    "more chains than the ring has",
    "17 chains offered, expected at most 16",
    ({ fromGuest }) => {
      for (let offered = 0; offered < 16; offered++) fromGuest.offer(0);
    },
  ],
];

describe("a guest's driver that offers", () => {
  it.each(attacks)("%s ends its device, and no other", async (_, message, attack) => {
    bench = await Bench.boot({ indirect: true });
    const other = await Bench.boot();
    try {
      attack(bench.driver);
      bench.driver.fromGuest.offer(0);
      bench.driver.kick(1);
      const end = await bench.device.ended;
      expect(end.kind === "failed" && end.error.message).toContain(message);
      expect(end.kind === "failed" && end.error.code).toMatch(/^(memory|queue|packet)$/);
      await other.hostServes(7, (socket) => socket.resume());
      await expect(other.guest.connect(7)).resolves.toBeDefined();
    } finally {
      other.close();
    }
  });

  it("an indirect table without having agreed to any ends its device", async () => {
    bench = await Bench.boot();
    bench.driver.fromGuest.describeTable(0, free, [44]);
    bench.driver.fromGuest.offer(0);
    bench.driver.kick(1);
    expect(await bench.device.ended).toMatchObject({ error: { code: "queue" } });
  });

  it("too little room for a packet ends its device", async () => {
    bench = await Bench.boot();
    bench.driver.toGuest.describe(0, { address: free, length: 44, isWritable: true });
    bench.driver.send(packetOf({ operation: operations.data }));
    expect(await bench.device.ended).toMatchObject({ error: { code: "packet" } });
  });

  it("attacks has no descriptor left of its device", async () => {
    const before = openDescriptors();
    bench = await Bench.boot();
    bench.driver.fromGuest.describe(0, { address: endOfMemory, length: 1 });
    bench.driver.fromGuest.offer(0);
    bench.driver.kick(1);
    await bench.device.ended;
    bench.driver.close();
    await turnsUntil(() => openDescriptors() <= before);
    expect(bench.device.state.kind).toBe("Failed");
  });
});

describe("a guest that breaks the vsock protocol", () => {
  /** Headers of all that the device sends, instead of a guest that reads them. */
  async function bootRaw(): Promise<ReturnType<typeof readHeader>[]> {
    bench = await Bench.boot();
    const answers: ReturnType<typeof readHeader>[] = [];
    bench.driver.onPacket = (packet) => answers.push(readHeader(packet));
    await bench.hostServes(7, (socket) => socket.resume());
    return answers;
  }

  async function open(answers: ReturnType<typeof readHeader>[]): Promise<void> {
    bench.driver.send(packetOf({ operation: operations.request, sourcePort: 1, targetPort: 7 }));
    await turnsUntil(() => answers.length === 1);
    expect(answers.shift()).toMatchObject({ operation: operations.response, sourcePort: 7, targetPort: 1 });
  }

  it.each([
    ["a response to nothing", { operation: operations.response }],
    ["a request again", { operation: operations.request }],
    ["an operation that does not exist", { operation: 99 }],
    ["no operation", { operation: 0 }],
    ["another type", { operation: operations.data, type: 2 }],
    ["a shutdown of everything", { operation: operations.shutdown, flags: shutdownFlags.both }],
  ])("gets a reset for %s on an open connection", async (_, parts) => {
    const answers = await bootRaw();
    await open(answers);
    bench.driver.send(packetOf({ sourcePort: 1, targetPort: 7, ...parts }));
    await turnsUntil(() => answers.length === 1);
    expect(answers[0]).toMatchObject({ operation: operations.reset, sourcePort: 7, targetPort: 1 });
    expect(bench.device.connections).toBe(0);
  });

  it("gets a reset for data after its own half-close", async () => {
    const answers = await bootRaw();
    await open(answers);
    const at = { sourcePort: 1, targetPort: 7 };
    bench.driver.send(packetOf({ ...at, operation: operations.shutdown, flags: shutdownFlags.send }));
    bench.driver.send(packetOf({ ...at, operation: operations.data }, Buffer.from("more")));
    await turnsUntil(() => answers.length === 1);
    expect(answers[0]?.operation).toBe(operations.reset);
  });

  it.each([operations.response, operations.data, operations.shutdown, operations.creditUpdate, 77])(
    "gets a reset for operation %i without a connection",
    async (operation) => {
      const answers = await bootRaw();
      bench.driver.send(packetOf({ operation, sourcePort: 9, targetPort: 9, type: 2 }));
      await turnsUntil(() => answers.length === 1);
      expect(answers[0]).toMatchObject({ operation: operations.reset, sourcePort: 9, targetPort: 9, type: 2 });
    },
  );

  it("gets no answer to a reset, nor in another's name", async () => {
    const answers = await bootRaw();
    bench.driver.send(packetOf({ operation: operations.reset, sourcePort: 9, targetPort: 9 }));
    bench.driver.send(packetOf({ operation: operations.request, targetPort: 7, sourceCid: 43 }));
    bench.driver.send(packetOf({ operation: operations.request, targetPort: 7, targetCid: 1 }));
    await turnsUntil(() => bench.driver.fromGuest.isIdle);
    await someTurns();
    expect(answers).toEqual([]);
    expect(bench.device.connections).toBe(0);
  });

  it("cannot make the device hold more than it promised, nor the answers to more packets than some hundred", async () => {
    const answers = await bootRaw();
    await bench.hostServes(8, (socket) => socket.pause());
    const at = { sourcePort: 1, targetPort: 8 };
    bench.driver.send(packetOf({ ...at, operation: operations.request }));
    await turnsUntil(() => answers.length === 1);
    const promised = answers.shift()?.bufferSize ?? 0;
    expect(promised).toBe(256 * 1024);
    // What the kernel takes for the host's program comes on top.
    for (let sent = 0; sent < 4 << 20; sent += 65536) {
      bench.driver.send(packetOf({ ...at, operation: operations.data }, Buffer.alloc(65536)));
    }
    await turnsUntil(() => answers.some(({ operation }) => operation === operations.reset));
    expect(bench.device.connections).toBe(0);

    bench.driver.holdBack(true);
    const unknown = packetOf({ operation: operations.data, sourcePort: 3, targetPort: 3 });
    answers.length = 0;
    for (let sent = 0; sent < 2000; sent++) bench.driver.send(unknown);
    await someTurns();
    await someTurns();
    expect(bench.driver.fromGuest.isIdle).toBe(false);
    bench.driver.holdBack(false);
    await turnsUntil(() => answers.filter(({ sourcePort }) => sourcePort === 3).length === 2000);
  });

  it("cannot leave more and more behind for a host that does not read", async () => {
    bench = await Bench.boot({}, { connections: 4 });
    const hosts: Socket[] = [];
    await bench.hostServes(7, (socket) => hosts.push(socket.pause()));
    const leave = async (): Promise<void> => {
      const socket = await bench.guest.connect(7);
      socket.write(Buffer.alloc(1 << 20));
      await someTurns();
      socket.send(operations.shutdown, { flags: shutdownFlags.both });
      await socket.closed;
    };
    for (let left = 0; left < 4; left++) await leave();
    await turnsUntil(() => bench.device.connections === 0);
    await expect(bench.guest.connect(7)).rejects.toThrow("reset");
    hosts[0]?.resume();
    await turnsUntil(() => hosts[0]?.readableEnded === true);
    await someTurns();
    await expect(bench.guest.connect(7)).resolves.toBeDefined();
  });

  it("gets smaller promises on many connections", async () => {
    bench = await Bench.boot({}, { aheadOfHostInAll: 1 << 20 });
    await bench.hostServes(7, (socket) => socket.resume());
    const promises: number[] = [];
    bench.driver.onPacket = (packet) => promises.push(readHeader(packet).bufferSize);
    for (let port = 1; port <= 40; port++) {
      bench.driver.send(packetOf({ operation: operations.request, sourcePort: port, targetPort: 7 }));
    }
    await turnsUntil(() => promises.length === 40);
    expect(Math.max(...promises)).toBe(1 << 17);
    expect(Math.min(...promises)).toBe(1 << 14);
  });
});

describe("credit", () => {
  it("makes the guest wait for a host that does not read, and lets it go on", async () => {
    bench = await Bench.boot();
    const accepted = Promise.withResolvers<Socket>();
    await bench.hostServes(7, accepted.resolve);
    const socket = await bench.guest.connect(7);
    socket.write(pattern(4 << 20, 5));
    socket.end();
    const host = await accepted.promise;
    await someTurns();
    expect(socket.sentBytes).toBeLessThan(2 << 20);
    expect((await readAll(host)).equals(pattern(4 << 20, 5))).toBe(true);
  });

  it.each([1, 1000, 1 << 18])("makes the host wait for a guest that takes %i bytes ahead", async (bufferSize) => {
    bench = await Bench.boot();
    const length = Math.min(bufferSize * 200, 4 << 20);
    let host: Socket | undefined;
    await bench.hostServes(7, (socket) => {
      host = socket;
      socket.end(pattern(length, 6));
    });
    const socket = await bench.guest.connect(7, bufferSize);
    socket.pause(true);
    await turnsUntil(() => socket.receivedBytes === bufferSize);
    await someTurns();
    expect(socket.receivedBytes).toBe(bufferSize);
    if (length > 2 << 20) expect(host?.writableFinished).toBe(false);
    socket.pause(false);
    expect((await socket.received).equals(pattern(length, 6))).toBe(true);
  });

  it("is asked for where the guest does not tell it", async () => {
    bench = await Bench.boot();
    await bench.hostServes(7, (socket) => socket.end(pattern(300_000, 7)));
    const socket = await bench.guest.connect(7, 10_000);
    socket.tellsOnlyIfAsked = true;
    expect((await socket.received).equals(pattern(300_000, 7))).toBe(true);
  });
});
