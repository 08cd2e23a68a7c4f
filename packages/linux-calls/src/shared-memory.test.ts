import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  becomesEventCounter,
  connectUnixSocket,
  createEventCounter,
  createSharedMemory,
  DescriptorListener,
  DescriptorSocket,
  mapSharedMemory,
  signalEvent,
  takeEvents,
  unixSocketPair,
  watchReadable,
} from "./index.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "linux-calls-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

describe("shared memory", () => {
  it("shows every mapping what one of them wrote, and none of it once unmapped", () => {
    const descriptor = createSharedMemory("guest", 1 << 20);
    const whole = mapSharedMemory(descriptor, 0, 1 << 20);
    const part = mapSharedMemory(descriptor, 5000, 100);
    closeSync(descriptor);
    new Uint8Array(part.buffer)[3] = 7;
    const bytes = new Uint8Array(whole.buffer);
    expect(bytes[5003]).toBe(7);
    part.unmap();
    part.unmap();
    expect(part.buffer.byteLength).toBe(0);
    whole.unmap();
    expect(bytes[5003]).toBeUndefined();
  });

  it("is refused where its end could move, or beyond its end", () => {
    const descriptor = createSharedMemory("guest", 4096);
    expect(() => ftruncateSync(descriptor, 0)).toThrow("EPERM");
    expect(() => mapSharedMemory(descriptor, 4000, 97)).toThrow(
      "invalid part of shared memory 4000+97: expected one within 4096 bytes",
    );
    expect(() => mapSharedMemory(descriptor, 0, 0)).toThrow("invalid part of shared memory 0+0");
    closeSync(descriptor);
    const file = openSync(join(folder, "file"), "w+");
    expect(() => mapSharedMemory(file, 0, 1)).toThrow("EINVAL");
    closeSync(file);
  });
});

describe("event counters", () => {
  it("are told from other descriptors", () => {
    const counter = createEventCounter();
    expect(becomesEventCounter(counter)).toBe(true);
    closeSync(counter);
    const memory = createSharedMemory("guest", 4096);
    expect(becomesEventCounter(memory)).toBe(false);
    closeSync(memory);
  });

  it("wake whoever watches them, and count", async () => {
    const counter = createEventCounter();
    expect(takeEvents(counter)).toBe(0n);
    const woken = Promise.withResolvers<bigint>();
    const watch = watchReadable(counter, () => woken.resolve(takeEvents(counter)));
    signalEvent(counter);
    signalEvent(counter);
    expect(await woken.promise).toBe(2n);
    watch.close();
    watch.close();
    closeSync(counter);
  });
});

describe("descriptor sockets", () => {
  it("carry descriptors beside the bytes, to the end", async () => {
    const path = join(folder, "socket");
    const arrived = Promise.withResolvers<DescriptorSocket>();
    const listener = new DescriptorListener(path, 2, { arrived: arrived.resolve, failed: arrived.reject });
    const client = new DescriptorSocket(connectUnixSocket(path) ?? -1, 2);
    const server = await arrived.promise;
    const bytes = Buffer.alloc(16);
    expect(server.receive(bytes)).toBeUndefined();

    const counters = [createEventCounter(), createEventCounter()];
    client.send(Buffer.from("two"), counters);
    client.send(Buffer.from("none"));
    signalEvent(counters[1] ?? -1);
    const first = server.receive(bytes);
    expect(first?.length).toBe(3);
    expect(bytes.toString("utf8", 0, 3)).toBe("two");
    expect(first?.descriptors.map(takeEvents)).toEqual([0n, 1n]);
    for (const descriptor of first?.descriptors ?? []) closeSync(descriptor);
    expect(server.receive(bytes)).toEqual({ length: 4, descriptors: [] });

    client.send(Buffer.from("x"), [...counters, ...counters, ...counters]);
    expect(() => server.receive(bytes)).toThrow("too many file descriptors at once: expected at most 2");
    for (const counter of counters) closeSync(counter);

    client.close();
    client.close();
    expect(server.receive(bytes)).toEqual({ length: 0, descriptors: [] });
    server.close();
    listener.close();
    listener.close();
    expect(connectUnixSocketTo(path)).toBe("ENOENT");
  });

  it("end where the peer has gone without reading everything", () => {
    const [one, other] = unixSocketPair();
    const [server, client] = [new DescriptorSocket(one, 1), new DescriptorSocket(other, 1)];
    server.send(Buffer.from("unread"));
    client.close();
    const bytes = Buffer.alloc(16);
    expect(server.receive(bytes)).toEqual({ length: 0, descriptors: [] });
    expect(server.receive(bytes)).toEqual({ length: 0, descriptors: [] });
    server.close();
  });

  it("do not wait for a peer that does not read", async () => {
    const path = join(folder, "socket");
    const arrived = Promise.withResolvers<DescriptorSocket>();
    const listener = new DescriptorListener(path, 2, { arrived: arrived.resolve, failed: arrived.reject });
    const client = new DescriptorSocket(connectUnixSocket(path) ?? -1, 2);
    const server = await arrived.promise;
    const much = Buffer.alloc(1 << 16);
    expect(() => {
      for (let sent = 0; sent < 1000; sent++) client.send(much);
    }).toThrow("the peer does not read");
    client.close();
    server.close();
    listener.close();
  });
});

function connectUnixSocketTo(path: string): string | undefined {
  try {
    connectUnixSocket(path);
  } catch (error) {
    return (error as { code?: string }).code;
  }
  return undefined;
}
