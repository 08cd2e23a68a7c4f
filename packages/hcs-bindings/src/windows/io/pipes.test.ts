import { once } from "node:events";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ntStatus } from "../../testing/windows/fake-io.ts";
import { FakeStreams } from "../../testing/windows/fake-streams.ts";
import { administratorsOnly } from "../system/security-descriptor.ts";
import type { CompletionPort } from "./completion-port.ts";
import { type PipeServer, servePipe } from "./pipes.ts";

const path = "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\containerd-shim-test";

let fake: FakeStreams;
let port: CompletionPort;
let streams: Duplex[];
let errors: unknown[];

beforeEach(() => {
  fake = new FakeStreams();
  port = fake.openPort();
  [streams, errors] = [[], []];
});

afterEach(async () => {
  await port.close();
  expect(fake.leftovers()).toEqual([]);
});

function serve(options: { readonly path?: string; readonly descriptor?: string } = {}): Promise<PipeServer> {
  const { kernel, security } = fake;
  return servePipe(
    { kernel, security, port },
    {
      path,
      onConnection: (stream) => streams.push(stream),
      onError: (error) => errors.push(error),
      ...options,
    },
  );
}

async function connected(count: number): Promise<readonly Duplex[]> {
  while (streams.length < count) await new Promise((resolve) => setImmediate(resolve));
  return streams;
}

describe.each([
  ["are done at once", true],
  ["come through the port", false],
])("pipes whose calls %s", (_, atOnce) => {
  beforeEach(() => {
    fake.io.atOnce = atOnce;
  });

  it("serve one client after another, and several at a time", async () => {
    const server = await serve();
    const clients = [fake.pipes.dial(path), fake.pipes.dial(path)];
    await connected(2);
    clients.push(fake.pipes.dial(path));
    for (const stream of await connected(3)) stream.end("for the client");
    for (const client of clients) {
      const bytes = Buffer.alloc(64);
      expect(client?.read(bytes)()).toMatchObject({ status: ntStatus.success });
      expect(bytes.toString("utf8", 0, 14)).toBe("for the client");
      client?.write([Buffer.from("for the server")])();
      client?.close();
    }
    fake.io.settle();
    expect(await Promise.all(streams.map(text))).toEqual(Array(3).fill("for the server"));
    await server.close();
    expect(errors).toEqual([]);
  });

  it("are open only to users in the descriptor", async () => {
    const server = await serve();
    expect(new Set(fake.pipes.instances.map(({ descriptor }) => descriptor))).toEqual(new Set([administratorsOnly]));
    await server.close();
    const other = await serve({ descriptor: "D:(A;;GA;;;WD)" });
    expect(fake.pipes.instances[0]?.descriptor).toBe("D:(A;;GA;;;WD)");
    await other.close();
  });

  it("end with the client, both ways", async () => {
    const server = await serve();
    const client = fake.pipes.dial(path);
    const [stream] = await connected(1);
    const closed = stream && once(stream.resume(), "close");
    client?.close();
    fake.io.settle();
    await closed;
    await server.close();
  });

  it("accept a client that connects before the server waits", async () => {
    fake.pipes.early = true;
    const server = await serve();
    const [stream] = await connected(1);
    stream?.destroy();
    await server.close();
  });

  it("leave their streams alone when the server closes", async () => {
    const server = await serve();
    const client = fake.pipes.dial(path);
    const [stream] = await connected(1);
    await server.close();
    await server.close();
    expect(fake.pipes.dial(path)).toBeUndefined();
    stream?.write("still here");
    expect(client?.read(Buffer.alloc(64))()).toMatchObject({ transferred: 10 });
    const closed = stream && once(stream, "close");
    stream?.destroy();
    await closed;
  });
});

it("rejects an existing pipe and an invalid descriptor", async () => {
  const server = await serve();
  await expect(serve()).rejects.toMatchObject({ code: "AlreadyExists", operation: "serve pipe", id: path });
  await expect(serve({ descriptor: "everybody" })).rejects.toMatchObject({ code: "InvalidArgument" });
  await server.close();
});

it("leaves nothing open, whichever call of Windows fails", async () => {
  for (let failAt = 0; ; failAt++) {
    const before = fake.io.calls;
    fake.io.failAt = before + failAt;
    const server = await serve().catch(() => undefined);
    const client = fake.pipes.dial(path);
    if (server !== undefined && client !== undefined) {
      while (streams.length === 0 && errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    for (const stream of streams.splice(0)) {
      stream.write("x");
      stream.destroy();
      if (!stream.closed) await once(stream, "close");
    }
    await server?.close();
    expect(fake.pipes.instances).toEqual([]);
    if (fake.io.calls < before + failAt) break;
    errors = [];
  }
  expect(errors).toEqual([]);
});
