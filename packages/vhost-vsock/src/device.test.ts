import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { connectUnixSocket, DescriptorListener, type DescriptorSocket } from "@uvm-shim/linux-calls";
import { afterEach, describe, expect, it } from "vitest";
import { VsockDevice } from "./index.ts";
import { Bench, openDescriptors, pattern, readAll, turnsUntil } from "./testing/bench.ts";
import { type DriverOptions, FakeDriver } from "./testing/fake-driver.ts";
import { FakeGuest, type GuestSocket, guestCid } from "./testing/fake-guest.ts";
import { requests } from "./vhost-user/requests.ts";

let bench: Bench;

afterEach(() => bench.close());

const kinds: [string, DriverOptions][] = [
  ["plain rings", {}],
  ["event indexes", { eventIndex: true }],
  ["indirect descriptors", { indirect: true }],
  ["all features, and small rings", { indirect: true, eventIndex: true, queueSize: 4 }],
];

describe.each(kinds)("a device with %s", (_, options) => {
  it("carries both directions to their half-closes, each in its time", async () => {
    bench = await Bench.boot(options);
    const asked = Promise.withResolvers<string>();
    await bench.hostServes(7, async (socket) => {
      const question = await readAll(socket);
      asked.resolve(question.toString());
      socket.end("answer after the question's end");
    });
    const socket = await bench.guest.connect(7);
    socket.write(Buffer.from("question"));
    socket.end();
    expect(await asked.promise).toBe("question");
    expect((await socket.received).toString()).toBe("answer after the question's end");
    await socket.closed;
    await turnsUntil(() => bench.device.connections === 0);
  });

  it("lets the guest speak after the host's half-close", async () => {
    bench = await Bench.boot(options);
    const heard = Promise.withResolvers<Buffer>();
    await bench.hostServes(7, (socket) => {
      socket.end("that is all");
      heard.resolve(readAll(socket));
    });
    const socket = await bench.guest.connect(7);
    expect((await socket.received).toString()).toBe("that is all");
    socket.write(Buffer.from("one more thing"));
    socket.close();
    expect((await heard.promise).toString()).toBe("one more thing");
    await socket.closed;
    await turnsUntil(() => bench.device.connections === 0);
  });

  it("carries a mebibyte each way at once, in order", async () => {
    bench = await Bench.boot(options);
    const up = pattern(1 << 20, 1);
    const down = pattern(1 << 20, 2);
    const heard = Promise.withResolvers<Buffer>();
    await bench.hostServes(7, (socket) => {
      socket.end(down);
      heard.resolve(readAll(socket));
    });
    const socket = await bench.guest.connect(7);
    socket.write(up);
    socket.end();
    expect((await heard.promise).equals(up)).toBe(true);
    expect((await socket.received).equals(down)).toBe(true);
  });

  it("lets the host dial the guest", async () => {
    bench = await Bench.boot(options);
    bench.guest.listen(5000, async (socket) => {
      const question = await socket.received;
      socket.write(Buffer.concat([Buffer.from("echo "), question]));
      socket.end();
    });
    const host = connect({ path: bench.hostDials, allowHalfOpen: true });
    host.end("CONNECT 5000\nearly bytes");
    const answer = (await readAll(host)).toString();
    expect(answer).toMatch(/^OK \d+\necho early bytes$/);
  });
});

describe("connections", () => {
  it("are refused where nobody listens, on either side", async () => {
    bench = await Bench.boot();
    await expect(bench.guest.connect(8)).rejects.toThrow("reset");
    const host = connect(bench.hostDials);
    host.write("CONNECT 9\n");
    expect((await readAll(host)).length).toBe(0);
    expect(bench.device.connections).toBe(0);
  });

  it.each(["CONNECT\n", "CONNECT 4294967296\n", "GET / HTTP/1.1\r\n", "x".repeat(40), ""])(
    "of the host end that begin with %j",
    async (line) => {
      bench = await Bench.boot();
      const host = connect(bench.hostDials);
      host.end(line);
      expect((await readAll(host)).length).toBe(0);
      expect(bench.device.connections).toBe(0);
    },
  );

  it("are many at once, and each has its own bytes", async () => {
    bench = await Bench.boot({ eventIndex: true, indirect: true });
    await bench.hostServes(7, (socket) => socket.pipe(socket));
    const sockets = await Promise.all(Array.from({ length: 200 }, () => bench.guest.connect(7)));
    expect(bench.device.connections).toBe(200);
    for (const [index, socket] of sockets.entries()) {
      socket.write(pattern(5000, index));
      socket.end();
    }
    for (const [index, socket] of sockets.entries()) {
      expect((await socket.received).equals(pattern(5000, index)), `connection ${index}`).toBe(true);
      socket.close();
      await socket.closed;
    }
    await turnsUntil(() => bench.device.connections === 0);
  });

  it("are refused beyond the limit, and possible again after others have ended", async () => {
    bench = await Bench.boot({}, { connections: 5 });
    await bench.hostServes(7, (socket) => socket.resume());
    const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => bench.guest.connect(7)));
    const accepted = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
    expect(accepted.length).toBe(5);
    const host = connect(bench.hostDials);
    host.write("CONNECT 5000\n");
    expect((await readAll(host)).length).toBe(0);
    accepted[0]?.close();
    await accepted[0]?.closed;
    await expect(bench.guest.connect(7)).resolves.toBeDefined();
  });

  it("end for the guest when the host's program is gone", async () => {
    bench = await Bench.boot();
    await bench.hostServes(7, (socket) => socket.end("last words", () => socket.destroy()));
    const socket = await bench.guest.connect(7);
    expect((await socket.received).toString()).toBe("last words");
    socket.write(Buffer.from("anybody?"));
    await socket.closed;
    await turnsUntil(() => bench.device.connections === 0);
  });

  it("bring the host what the guest sent before it was gone", async () => {
    bench = await Bench.boot();
    const heard = Promise.withResolvers<Buffer>();
    await bench.hostServes(7, (socket) => heard.resolve(readAll(socket)));
    const socket = await bench.guest.connect(7);
    socket.write(pattern(100_000, 3));
    socket.close();
    await socket.closed;
    bench.driver.close();
    expect(await bench.device.ended).toMatchObject({ kind: "failed", error: { code: "disconnected" } });
    expect((await heard.promise).equals(pattern(100_000, 3))).toBe(true);
  });
});

describe("a host that does not wait for the guest's answer", () => {
  it("is gone for the guest once that has answered", async () => {
    bench = await Bench.boot();
    bench.driver.holdBack(true);
    const host = connect(bench.hostDials);
    host.write("CONNECT 5000\n");
    await turnsUntil(() => bench.device.connections === 1);
    host.destroy();
    const accepted = Promise.withResolvers<GuestSocket>();
    bench.guest.listen(5000, accepted.resolve);
    bench.driver.holdBack(false);
    const socket = await accepted.promise;
    expect((await socket.received).length).toBe(0);
    await socket.closed;
    await turnsUntil(() => bench.device.connections === 0);
  });
});

describe("a machine that stops its queues", () => {
  it("finds the connections again when it goes on", async () => {
    bench = await Bench.boot();
    await bench.hostServes(7, (socket) => socket.pipe(socket));
    const socket = await bench.guest.connect(7);
    const bases = await bench.driver.stop();
    socket.write(pattern(10_000, 1));
    socket.end();
    expect(socket.receivedBytes).toBe(0);
    await bench.driver.start(bases);
    expect((await socket.received).equals(pattern(10_000, 1))).toBe(true);
  });

  it("may tell its memory anew in the middle, as it does when it gets more", async () => {
    bench = await Bench.boot();
    await bench.hostServes(7, (socket) => socket.pipe(socket));
    const socket = await bench.guest.connect(7);
    for (let round = 0; round < 20; round++) {
      socket.write(pattern(50_000, round));
      bench.driver.tellMemory();
      await new Promise(setImmediate);
    }
    socket.end();
    const all = Buffer.concat(Array.from({ length: 20 }, (_, round) => pattern(50_000, round)));
    expect((await socket.received).equals(all)).toBe(true);
  });

  it("finds none when its guest has started again", async () => {
    bench = await Bench.boot();
    const ended = Promise.withResolvers<Buffer>();
    await bench.hostServes(7, (socket) => ended.resolve(readAll(socket)));
    const socket = await bench.guest.connect(7);
    socket.write(Buffer.from("before"));
    await turnsUntil(() => bench.driver.fromGuest.isIdle);
    await bench.driver.stop();
    bench.driver.reset();
    await bench.driver.start();
    expect((await ended.promise).toString()).toBe("before");
    expect(bench.device.connections).toBe(0);
    await expect(bench.guest.connect(7)).resolves.toBeDefined();
  });
});

describe("a device", () => {
  it("tells its guest's address, and serves one machine only", async () => {
    bench = await Bench.connect();
    const request = Buffer.alloc(12 + 8);
    request.writeUInt32LE(8, 4);
    const answer = await bench.driver.ask(requests.getConfig, request);
    expect(answer.readBigUInt64LE(12)).toBe(42n);
    expect((await bench.driver.ask(requests.getQueueCount)).readBigUInt64LE()).toBe(2n);
    expect(bench.device.state.kind).toBe("Served");
    expect(() => new FakeDriver(`${bench.folder}/machine`)).toThrow("ENOENT");
  });

  it("serves a machine that is connected already", async () => {
    bench = await Bench.connect();
    const path = `${bench.folder}/pair`;
    const arrived = Promise.withResolvers<DescriptorSocket>();
    const listener = new DescriptorListener(path, 1, { arrived: arrived.resolve, failed: arrived.reject });
    const options = { id: "vm", guestCid, socketBase: `${bench.folder}/other.vsock` };
    const device = await VsockDevice.serve(options, connectUnixSocket(path) ?? -1);
    const driver = new FakeDriver(await arrived.promise);
    listener.close();
    const guest = new FakeGuest(driver);
    await driver.start();
    guest.listen(5000, (socket) => socket.end());
    const host = connect({ path: options.socketBase, allowHalfOpen: true });
    host.write("CONNECT 5000\n");
    expect((await readAll(host)).toString()).toMatch(/^OK \d+\n$/);
    driver.close();
    expect(await device.ended).toMatchObject({ error: { code: "disconnected" } });
    host.destroy();
  });

  it("closes the connection of a machine that it cannot serve", async () => {
    const before = openDescriptors();
    bench = await Bench.connect();
    const during = openDescriptors();
    const path = `${bench.folder}/pair`;
    const listener = new DescriptorListener(path, 1, { arrived: (peer) => peer.close(), failed: () => {} });
    const options = { id: "vm", guestCid, socketBase: `${bench.folder}/none/vm.vsock` };
    await expect(VsockDevice.serve(options, connectUnixSocket(path) ?? -1)).rejects.toThrow("listen");
    listener.close();
    await turnsUntil(() => openDescriptors() <= during);
    expect(during).toBeGreaterThan(before);
  });

  it("ends when it is closed, and leaves nothing", async () => {
    const before = openDescriptors();
    bench = await Bench.boot();
    await bench.hostServes(7, (socket) => socket.resume());
    const socket = await bench.guest.connect(7);
    socket.write(Buffer.from("x"));
    bench.device.close();
    bench.device.close();
    expect(await bench.device.ended).toEqual({ kind: "closed" });
    expect(bench.device.state.kind).toBe("Closed");
    bench.driver.close();
    bench.closeHost();
    await turnsUntil(() => openDescriptors() <= before);
    expect(readdirSync(bench.folder)).toEqual([]);
  });

  it.each([2, 0xffffffff, 3.5])("is not made for the address %s", async (cid) => {
    bench = await Bench.connect();
    const socketBase = `${bench.folder}/other`;
    const machineSocket = `${bench.folder}/other-machine`;
    await expect(VsockDevice.listen({ id: "vm", guestCid: cid, socketBase, machineSocket })).rejects.toThrow(
      `invalid guest CID ${cid}: expected 3 to 4294967294`,
    );
  });
});
