/** What all callers of one server may have under way, whatever each of them does. */
import { duplexPair } from "node:stream";
import { describe, expect, it } from "vitest";
import { TtrpcClient } from "./client.ts";
import { encodeHeader, frameType, headerLength } from "./frame.ts";
import { google, ttrpc } from "./generated/messages.js";
import { Load } from "./load.ts";
import { TtrpcServer, type TtrpcServerOptions } from "./server.ts";
import { type Handlers, implement } from "./service.ts";
import type { TtrpcError } from "./status.ts";
import { Echo, echoHandlers } from "./testing/echo.ts";

const settled = () => new Promise<void>((resolve) => void setImmediate(resolve));

function bench(handlers: Handlers<typeof Echo>, options: Partial<TtrpcServerOptions>) {
  const errors: TtrpcError[] = [];
  const server = new TtrpcServer({
    services: [implement(Echo, { ...echoHandlers, ...handlers })],
    onError: (error, context) => void (context === undefined && errors.push(error as TtrpcError)),
    ...options,
  });
  const dial = (how?: { readonly unlimited: boolean }) => {
    const [stream, served] = duplexPair();
    stream.on("error", () => {});
    return { stream, connection: server.serve(served, how) };
  };
  return { server, errors, dial, client: (how?: { readonly unlimited: boolean }) => new TtrpcClient(dial(how).stream) };
}

function request(payload: Uint8Array, arrived = payload.length): Buffer {
  const message = ttrpc.Request.encode({ service: "test.Echo", method: "Bytes", payload }).finish();
  const header = Buffer.alloc(headerLength);
  encodeHeader(header, 1, frameType.request, 0, message.length);
  return Buffer.concat([header, message.subarray(0, message.length - payload.length + arrived)]);
}

describe("the callers of a server", () => {
  it("share a number of calls in flight, of which the program's own connection takes none", async () => {
    const gate = Promise.withResolvers<void>();
    const { client, server } = bench({ Say: () => gate.promise.then(() => ({})) }, { maxServerCalls: 2 });
    const [one, other, own] = [client(), client(), client({ unlimited: true })];
    const first = [one.call(Echo, "Say", {}), other.call(Echo, "Say", {})];
    await settled();
    await expect(other.call(Echo, "Bytes", {})).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: "The server has 2 calls in flight on all its connections, expected fewer than 2.",
    });
    expect(await own.call(Echo, "Bytes", { type_url: "fine" })).toMatchObject({ type_url: "fine" });
    gate.resolve();
    await Promise.all(first);
    expect(await other.call(Echo, "Bytes", { type_url: "fine" })).toMatchObject({ type_url: "fine" });
    server.destroy();
  });

  it("share a number of bytes: a request that does not fit is refused, and does once another has ended", async () => {
    const gate = Promise.withResolvers<void>();
    const { client, server } = bench({ Say: () => gate.promise.then(() => ({})) }, { maxWaitingBytes: 1000 });
    const [one, other] = [client(), client()];
    const first = one.call(Echo, "Say", { value: "x".repeat(800) });
    await settled();
    const second = () => other.call(Echo, "Bytes", { type_url: "x".repeat(300) });
    await expect(second()).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringMatching(
        /^A message of 3\d\d bytes does not fit: 8\d\d bytes .*, expected at most 1000\.$/,
      ),
    });
    gate.resolve();
    await first;
    expect(await second()).toMatchObject({ type_url: "x".repeat(300) });
    server.destroy();
  });

  it("get back the bytes of requests that never arrive as a whole", async () => {
    const { client, dial, server } = bench({}, { maxWaitingBytes: 1000 });
    const half = dial();
    half.stream.write(request(Buffer.alloc(800), 10));
    await settled();
    const call = () => client().call(Echo, "Bytes", { type_url: "x".repeat(300) });
    await expect(call()).rejects.toMatchObject({ code: "ResourceExhausted" });
    half.stream.destroy();
    await half.connection.closed;
    await call();
    server.destroy();
  });

  it("get back the bytes of messages that no handler reads", async () => {
    const { dial, client, server } = bench({ Join: async () => ({}) }, { maxWaitingBytes: 1000 });
    const unread = new TtrpcClient(dial().stream);
    for (let count = 0; count < 10; count++) {
      await unread.stream(
        Echo,
        "Join",
        (async function* () {
          yield { value: "x".repeat(200) };
          yield { value: "x".repeat(200) };
        })(),
      );
    }
    await client().call(Echo, "Bytes", { type_url: "x".repeat(800) });
    server.destroy();
  });

  it("lose the connection that leaves most responses unread, and no other", async () => {
    const { client, dial, errors, server } = bench({}, { maxWaitingBytes: 300_000 });
    const good = client();
    const message = google.protobuf.Any.encode({ value: Buffer.alloc(100_000) }).finish();
    for (let count = 0; count < 10 && errors.length === 0; count++) {
      // Of the responses it reads nothing.
      dial().stream.write(request(message));
      await settled();
    }
    expect(errors).toEqual([
      expect.objectContaining({
        code: "ResourceExhausted",
        message: expect.stringMatching(/^The caller left \d+ bytes of responses unread, of \d+ bytes that wait/),
      }),
    ]);
    expect(await good.call(Echo, "Bytes", { type_url: "fine" })).toMatchObject({ type_url: "fine" });
    server.destroy();
  });
});

describe("the load of a server", () => {
  it("ends the reader that leaves most unread", () => {
    const load = new Load({ mostCalls: 1, mostBytes: 100 });
    const ended: string[] = [];
    const reader = (name: string) => {
      const one = {
        destroy: () => {
          ended.push(name);
          load.setUnread(one, 0);
        },
      };
      return one;
    };
    const [one, other] = [reader("one"), reader("other")];
    load.setUnread(one, 30);
    load.setUnread(other, 60);
    load.setUnread(one, 40);
    expect(ended).toEqual([]);
    load.setUnread(one, 50);
    expect(ended).toEqual(["other"]);
    expect(load.bytes).toBe(50);
  });
});
