import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DeviceLimits, VsockDevice } from "./index.ts";
import { type DriverOptions, FakeDriver } from "./testing/fake-driver.ts";
import { FakeGuest, guestCid } from "./testing/fake-guest.ts";

let folder: string;
let device: VsockDevice;
let driver: FakeDriver;
let guest: FakeGuest;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vhost-vsock-"));
});

afterEach(() => {
  driver.close();
  device.close();
  for (const server of servers.splice(0)) server.close();
  rmSync(folder, { recursive: true });
});

async function boot(options: DriverOptions = {}, limits: Partial<DeviceLimits> = {}): Promise<void> {
  device = await VsockDevice.listen({
    id: "vm",
    machineSocket: join(folder, "machine"),
    guestCid,
    socketBase: join(folder, "vm.vsock"),
    limits,
  });
  driver = new FakeDriver(join(folder, "machine"), options);
  guest = new FakeGuest(driver);
  await driver.start();
}

/** A program of the host at a port. */
async function hostServes(port: number, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, serve);
  servers.push(server);
  server.listen(join(folder, `vm.vsock_${port}`));
  await once(server, "listening");
}

const kinds: [string, DriverOptions][] = [
  ["plain rings", {}],
  ["event indexes", { eventIndex: true }],
  ["indirect descriptors", { indirect: true }],
  ["all features, and small rings", { indirect: true, eventIndex: true, queueSize: 4 }],
];

describe.each(kinds)("a device with %s", (_, options) => {
  it("carries both directions to their half-closes, each in its time", async () => {
    await boot(options);
    const asked = Promise.withResolvers<string>();
    await hostServes(7, async (socket) => {
      const question = await readAll(socket);
      asked.resolve(question.toString());
      socket.end("answer after the question's end");
    });
    const socket = await guest.connect(7);
    socket.write(Buffer.from("question"));
    socket.end();
    expect(await asked.promise).toBe("question");
    expect((await socket.received).toString()).toBe("answer after the question's end");
    await socket.closed;
    await turnsUntil(() => device.connections === 0);
  });

  it("lets the guest speak after the host's half-close", async () => {
    await boot(options);
    const heard = Promise.withResolvers<Buffer>();
    await hostServes(7, (socket) => {
      socket.end("that is all");
      heard.resolve(readAll(socket));
    });
    const socket = await guest.connect(7);
    expect((await socket.received).toString()).toBe("that is all");
    socket.write(Buffer.from("one more thing"));
    socket.close();
    expect((await heard.promise).toString()).toBe("one more thing");
    await socket.closed;
    await turnsUntil(() => device.connections === 0);
  });

  it("carries a mebibyte each way at once, in order", async () => {
    await boot(options);
    const up = pattern(1 << 20, 1);
    const down = pattern(1 << 20, 2);
    const heard = Promise.withResolvers<Buffer>();
    await hostServes(7, (socket) => {
      socket.end(down);
      heard.resolve(readAll(socket));
    });
    const socket = await guest.connect(7);
    socket.write(up);
    socket.end();
    expect((await heard.promise).equals(up)).toBe(true);
    expect((await socket.received).equals(down)).toBe(true);
  });

  it("lets the host dial the guest", async () => {
    await boot(options);
    guest.listen(5000, async (socket) => {
      const question = await socket.received;
      socket.write(Buffer.concat([Buffer.from("echo "), question]));
      socket.end();
    });
    const host = connect({ path: join(folder, "vm.vsock"), allowHalfOpen: true });
    host.end("CONNECT 5000\nearly bytes");
    const answer = (await readAll(host)).toString();
    expect(answer).toMatch(/^OK \d+\necho early bytes$/);
  });
});

describe("connections", () => {
  it("are refused where nobody listens, on either side", async () => {
    await boot();
    await expect(guest.connect(8)).rejects.toThrow("reset");
    const host = connect(join(folder, "vm.vsock"));
    host.write("CONNECT 9\n");
    expect((await readAll(host)).length).toBe(0);
    expect(device.connections).toBe(0);
  });
});

/** Lets the event loop turn until something holds; the test's time limit is its end. */
async function turnsUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

/** All that comes up to the end; the consumers of node:stream would destroy the stream then. */
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) bytes.writeUInt32LE((at * 2654435761 + seed) >>> 0, at);
  return bytes;
}
