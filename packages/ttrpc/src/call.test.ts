import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { afterEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { TtrpcClient } from "./client.ts";
import type { ttrpc } from "./generated/messages.js";
import { TtrpcServer } from "./server.ts";
import { type CallContext, defineService, implement } from "./service.ts";
import { statusCodes, TtrpcError } from "./status.ts";
import { collect, connect, Echo, echoHandlers, untilAborted } from "./testing/echo.ts";

afterEach(() => {
  vi.useRealTimers();
});

const never = () => new Promise<never>(() => {});

async function* values(...all: string[]) {
  for (const value of all) yield { value };
}

describe("over a Unix socket", () => {
  it("carries many concurrent calls, large and small, and closes on both sides", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ttrpc-"));
    const server = new TtrpcServer({ services: [implement(Echo, echoHandlers)] });
    const listener = net.createServer((socket) => server.serve(socket));
    try {
      const path = join(folder, "s");
      listener.listen(path);
      await once(listener, "listening");
      const client = new TtrpcClient(net.connect(path));
      const large = Buffer.alloc(3 << 20, "x");
      const calls = Array.from({ length: 500 }, (_, index) => client.call(Echo, "Say", { value: String(index) }));
      const [bytes, joined, ...said] = await Promise.all([
        client.call(Echo, "Bytes", { value: large }),
        client.stream(Echo, "Join", values("a", "b", "c")),
        ...calls,
      ]);
      expect(Buffer.compare(bytes.value, large)).toBe(0);
      expect(joined.value).toBe("a,b,c");
      expect(said.map(({ value }) => value)).toEqual(calls.map((_, index) => String(index)));
      await server.close();
      expect(await client.closed).toBeUndefined();
    } finally {
      server.destroy();
      listener.close();
      await rm(folder, { recursive: true });
    }
  });
});

describe("unary calls", () => {
  it("pass the context to the handler", async () => {
    const contexts: CallContext[] = [];
    const { client } = connect({
      Say: async (request, context) => {
        contexts.push(context);
        return request;
      },
    });
    const before = Date.now();
    await client.call(Echo, "Say", {}, { timeoutMs: 60_000, metadata: { Trace: "1", many: ["a", "b"] } });
    await client.call(Echo, "Say", {});
    const [first, second] = contexts;
    expect(first).toMatchObject({ service: "test.Echo", method: "Say" });
    expect([...(first?.metadata ?? [])]).toEqual([
      ["trace", ["1"]],
      ["many", ["a", "b"]],
    ]);
    expect(first?.deadline?.getTime()).toBeGreaterThanOrEqual(before + 60_000);
    expect(second).toMatchObject({ deadline: undefined, metadata: new Map() });
    expect(second?.signal.aborted).toBe(false);
    client.close();
  });

  it("return an error's canonical code to the caller, and report errors with no code or Internal", async () => {
    const reported: unknown[] = [];
    const failures: { readonly [key: string]: unknown } = {
      coded: Object.assign(new Error("no such container"), { code: "NotFound" }),
      plain: new Error("a bug"),
      foreign: Object.assign(new Error("no entry"), { code: "ENOENT" }),
      thrown: "text",
      prototype: Object.assign(new Error("odd"), { code: "constructor" }),
    };
    const { client } = connect(
      { Say: async ({ key }) => Promise.reject(failures[key]) },
      { onError: (error) => reported.push(error) },
    );
    const codeOf = (key: string) => client.call(Echo, "Say", { key }).catch(({ code, message }) => [code, message]);
    expect(await codeOf("coded")).toEqual(["NotFound", "no such container"]);
    expect(await codeOf("plain")).toEqual(["Internal", "a bug"]);
    expect(await codeOf("foreign")).toEqual(["Internal", "no entry"]);
    expect(await codeOf("thrown")).toEqual(["Internal", "text"]);
    expect(await codeOf("prototype")).toEqual(["Internal", "odd"]);
    expect(reported).toEqual([failures.plain, failures.foreign, failures.thrown, failures.prototype]);
    client.close();
  });

  it("carry every canonical code", async () => {
    const { client } = connect({
      Say: async ({ key }) => Promise.reject(Object.assign(new Error("said"), { code: key })),
    });
    for (const code of Object.keys(statusCodes).filter((name) => name !== "OK")) {
      await expect(client.call(Echo, "Say", { key: code })).rejects.toMatchObject({ code, message: "said" });
    }
    client.close();
  });

  it("answer Unimplemented for unknown services and methods", async () => {
    const pair = connect({}, { services: [implement(Echo, {})] });
    await expect(pair.client.call(Echo, "Say", {})).rejects.toMatchObject({ code: "Unimplemented" });
    for (const name of ["constructor", "__proto__", "test.Other"]) {
      const other = defineService(name, { toString: Echo.methods.Say });
      await expect(pair.client.call(other, "toString", {})).rejects.toMatchObject({ code: "Unimplemented" });
    }
    pair.client.close();
  });

  it("are cancelled on the client only, and a late answer is ignored", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { client } = connect({
      Say: async ({ key }) => {
        if (key === "slow") await promise;
        return { value: key };
      },
    });
    const abort = new AbortController();
    const reason = new Error("enough");
    const slow = client.call(Echo, "Say", { key: "slow" }, { signal: abort.signal });
    abort.abort(reason);
    await expect(slow).rejects.toMatchObject({ code: "Cancelled", cause: reason });
    await expect(client.call(Echo, "Say", {}, { signal: abort.signal })).rejects.toMatchObject({ code: "Cancelled" });
    resolve();
    expect(await client.call(Echo, "Say", { key: "next" })).toMatchObject({ value: "next" });
    client.close();
  });

  it("leave no listeners on a signal that many calls share", async () => {
    const warnings = vi.spyOn(process, "emitWarning");
    const { client } = connect();
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 50 }, () => client.call(Echo, "Say", {}, { signal })));
    expect(warnings).not.toHaveBeenCalled();
    warnings.mockRestore();
    client.close();
  });

  it("end at their deadline on both sides", async () => {
    const ended: unknown[] = [];
    const { client } = connect({
      Say: (_request, context) =>
        untilAborted(context).catch((error) => {
          ended.push(error);
          throw new DOMException("aborted", "AbortError");
        }),
    });
    const inTime = client.call(Echo, "Say", {}, { timeoutMs: 5 });
    await expect(inTime).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await vi.waitFor(() => expect(ended).toMatchObject([{ code: "DeadlineExceeded" }]));
    await expect(client.call(Echo, "Say", {}, { timeoutMs: 0 })).rejects.toMatchObject({ code: "DeadlineExceeded" });
    client.close();
  });

  it("are refused above the maximum message size, whichever side writes it", async () => {
    const { client } = connect(
      { Say: async () => ({ value: "y".repeat(2000) }) },
      { maxMessageSize: 1000, client: { maxMessageSize: 1200 } },
    );
    const big = { value: Buffer.alloc(1150) };
    await expect(client.call(Echo, "Bytes", { value: Buffer.alloc(1300) })).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringContaining("1200"),
    });
    await expect(client.call(Echo, "Bytes", big)).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringContaining("1000"),
    });
    await expect(client.call(Echo, "Say", {})).rejects.toMatchObject({ code: "ResourceExhausted" });
    expect(await client.call(Echo, "Bytes", { value: Buffer.from("ok") })).toMatchObject({ value: Buffer.from("ok") });
    client.close();
  });

  it("fail on their own when the answer is too large for the client", async () => {
    const { client } = connect({}, { client: { maxMessageSize: 1000 } });
    const many = client.stream(Echo, "Count", { key: "x".repeat(900), value: "1" });
    expect(await collect(many)).toHaveLength(1);
    const pair = connect({ Say: async () => ({ value: "z".repeat(2000) }) }, { client: { maxMessageSize: 1000 } });
    await expect(pair.client.call(Echo, "Say", {})).rejects.toMatchObject({ code: "ResourceExhausted" });
    expect(await pair.client.call(Echo, "Bytes", {})).toMatchObject({ type_url: "" });
    client.close();
    pair.client.close();
  });

  it("are refused when too many are in flight", async () => {
    const { client } = connect({ Say: never }, { maxCallsInFlight: 2 });
    const pending = [client.call(Echo, "Say", {}), client.call(Echo, "Say", {})];
    await expect(client.call(Echo, "Bytes", {})).rejects.toMatchObject({ code: "ResourceExhausted" });
    client.close();
    for (const call of pending) await expect(call).rejects.toMatchObject({ code: "Unavailable" });
  });

  it("go through the interceptor, which may refuse them", async () => {
    const seen: string[] = [];
    const { client } = connect(
      {},
      {
        interceptor: async (context, next) => {
          seen.push(context.method);
          if (context.method === "Bytes") throw new TtrpcError("PermissionDenied", "no bytes today");
          return await next();
        },
      },
    );
    expect(await client.call(Echo, "Say", { value: "a" })).toMatchObject({ value: "a" });
    expect(await collect(client.stream(Echo, "Count", { value: "2" }))).toHaveLength(2);
    await expect(client.call(Echo, "Bytes", {})).rejects.toMatchObject({ code: "PermissionDenied" });
    expect(seen).toEqual(["Say", "Count", "Bytes"]);
    client.close();
  });
});

describe("streams", () => {
  it("carry messages in both directions at once", async () => {
    const { client } = connect();
    const first = Promise.withResolvers<void>();
    const echoes: string[] = [];
    const sent = (async function* () {
      yield { value: "one" };
      await first.promise;
      yield { value: "two" };
    })();
    for await (const { value } of client.stream(Echo, "Chat", sent)) {
      echoes.push(value);
      first.resolve();
    }
    expect(echoes).toEqual(["one", "two"]);
    client.close();
  });

  it("hold more messages than either side buffers", async () => {
    const { client } = connect();
    const counted = await collect(client.stream(Echo, "Count", { key: "k".repeat(1000), value: "5000" }));
    expect(counted.map(({ value }) => value)).toEqual(Array.from({ length: 5000 }, (_, index) => String(index)));
    const many = Array.from({ length: 5000 }, (_, index) => String(index));
    expect((await client.stream(Echo, "Join", values(...many))).value).toBe(many.join(","));
    client.close();
  });

  it("end with the handler's error after its messages", async () => {
    const { client } = connect({
      async *Count() {
        yield { value: "0" };
        throw new TtrpcError("Aborted", "half way");
      },
      Join: async () => Promise.reject(new TtrpcError("OutOfRange", "too many")),
    });
    const got: string[] = [];
    const counting = (async () => {
      for await (const { value } of client.stream(Echo, "Count", {})) got.push(value);
    })();
    await expect(counting).rejects.toMatchObject({ code: "Aborted", message: "half way" });
    expect(got).toEqual(["0"]);
    await expect(client.stream(Echo, "Join", values("a"))).rejects.toMatchObject({ code: "OutOfRange" });
    client.close();
  });

  it("can be left early by either side while others go on", async () => {
    const { client } = connect({
      async *Chat(messages) {
        for await (const { value } of messages) {
          yield { value };
          return;
        }
      },
    });
    for await (const { value } of client.stream(Echo, "Count", { value: "100000" })) {
      if (value === "3") break;
    }
    expect(await collect(client.stream(Echo, "Chat", values("a", "b", "c")))).toMatchObject([{ value: "a" }]);
    expect(await client.call(Echo, "Say", { value: "still here" })).toMatchObject({ value: "still here" });
    client.close();
  });

  it("fail on this side when their requests do, or when they are cancelled", async () => {
    const { client } = connect({ Join: never });
    const cause = new Error("source ran dry");
    const failing = (async function* () {
      yield { value: "a" };
      throw cause;
    })();
    await expect(client.stream(Echo, "Join", failing)).rejects.toMatchObject({ code: "Cancelled", cause });
    const abort = new AbortController();
    const endless = (async function* () {
      yield { value: "a" };
      await never();
    })();
    const chat = collect(client.stream(Echo, "Chat", endless, { signal: abort.signal }));
    abort.abort();
    await expect(chat).rejects.toMatchObject({ code: "Cancelled" });
    client.close();
  });

  it("drop a reader that does not read, on the server", async () => {
    const stalled = Promise.withResolvers<unknown>();
    const { client } = connect(
      { Join: (_messages, context) => untilAborted(context).catch((error) => Promise.reject(stalled.resolve(error))) },
      { stallMs: 5 },
    );
    const many = values(...Array.from({ length: 1000 }, () => "x"));
    await expect(client.stream(Echo, "Join", many)).rejects.toMatchObject({ code: "ResourceExhausted" });
    expect(await stalled.promise).toMatchObject({ code: "ResourceExhausted" });
    expect(await client.call(Echo, "Say", { value: "on" })).toMatchObject({ value: "on" });
    client.close();
  });

  it("drop a reader that does not read, on the client", async () => {
    const sent = Promise.withResolvers<void>();
    const { client } = connect(
      {
        async *Count() {
          for (let number = 0; number < 100; number++) yield { value: String(number) };
          sent.resolve();
        },
      },
      { client: { stallMs: 5 } },
    );
    const unread = client.stream(Echo, "Count", {});
    await sent.promise;
    expect(await client.call(Echo, "Say", { value: "on" })).toMatchObject({ value: "on" });
    await expect(collect(unread)).rejects.toMatchObject({ code: "ResourceExhausted" });
    client.close();
  });

  it("wake a handler that waits for messages when the deadline passes", async () => {
    const { client } = connect();
    const endless = (async function* () {
      yield { value: "a" };
      await never();
    })();
    const joined = client.stream(Echo, "Join", endless, { timeoutMs: 5 });
    await expect(joined).rejects.toMatchObject({ code: "DeadlineExceeded" });
    client.close();
  });
});

describe("the end of a connection", () => {
  it("fails every call once, and later calls at once", async () => {
    const { client, serverStream } = connect({ Say: never, Chat: () => (async function* () {})() });
    const calls = [client.call(Echo, "Say", {}), client.call(Echo, "Say", {})];
    const stream = collect(client.stream(Echo, "Chat", values("a")));
    await stream;
    serverStream.destroy();
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "Unavailable" });
    await client.closed;
    await expect(client.call(Echo, "Say", {})).rejects.toMatchObject({ code: "Unavailable" });
    await expect(collect(client.stream(Echo, "Count", {}))).rejects.toMatchObject({ code: "Unavailable" });
  });

  it("aborts the handlers of a caller that is gone", async () => {
    const gone = Promise.withResolvers<unknown>();
    const { client } = connect({
      Say: (_request, context) => untilAborted(context).catch((error) => Promise.reject(gone.resolve(error))),
    });
    const call = client.call(Echo, "Say", {});
    client.close();
    await expect(call).rejects.toMatchObject({ code: "Unavailable" });
    expect(await gone.promise).toMatchObject({ code: "Cancelled" });
  });

  it("names the stream's error", async () => {
    const { client, clientStream, serverStream } = connect();
    serverStream.on("error", () => {});
    clientStream.destroy(new Error("wire cut"));
    expect(await client.closed).toMatchObject({ code: "Unavailable", message: expect.stringContaining("wire cut") });
  });

  it("is reported at once for a stream that ended earlier", async () => {
    const { clientStream, server } = connect();
    clientStream.destroy();
    const client = new TtrpcClient(clientStream);
    const call = client.call(Echo, "Say", {});
    await expect(call).rejects.toMatchObject({ code: "Unavailable" });
    expect(await server.serve(clientStream).closed).toMatchObject({ code: "Unavailable" });
  });
});

describe("closing the server", () => {
  it("finishes calls in flight, refuses new ones, and then closes the connections", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { client, server } = connect({
      Say: async (request) => {
        await promise;
        return request;
      },
    });
    const early = client.call(Echo, "Say", { value: "early" });
    await client.call(Echo, "Bytes", {});
    const closed = server.close();
    await expect(client.call(Echo, "Bytes", {})).rejects.toMatchObject({ code: "Unavailable" });
    resolve();
    expect(await early).toMatchObject({ value: "early" });
    await closed;
    await server.close();
    expect(await client.closed).toBeUndefined();
    const [lateClient, lateServer] = duplexPair();
    const late = new TtrpcClient(lateClient);
    server.serve(lateServer);
    expect(await late.closed).toBeUndefined();
  });

  it("leaves a connection open for its caller after the last answer, for a limited time", async () => {
    vi.useFakeTimers();
    const { client, server } = connect({}, { hangUpMs: 500 });
    let ended = false;
    void client.closed.then(() => {
      ended = true;
    });
    await client.call(Echo, "Say", { value: "early" });
    await vi.advanceTimersByTimeAsync(100);
    await client.call(Echo, "Say", { value: "last" });
    const closed = server.close();
    await vi.advanceTimersByTimeAsync(499);
    expect(ended).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await closed;
    expect(await client.closed).toBeUndefined();
  });

  it("waits only until the caller hangs up, and not for a caller that was answered long ago", async () => {
    vi.useFakeTimers();
    const leaving = connect({}, { hangUpMs: 500 });
    await leaving.client.call(Echo, "Say", {});
    const left = leaving.server.close();
    leaving.client.close();
    await left;
    expect(vi.getTimerCount()).toBe(0);

    const idle = connect({}, { hangUpMs: 500 });
    await idle.client.call(Echo, "Say", {});
    await vi.advanceTimersByTimeAsync(500);
    await idle.server.close();
    expect(await idle.client.closed).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is cut short when its signal aborts", async () => {
    const { client, server } = connect({ Say: never });
    const call = client.call(Echo, "Say", {});
    await client.call(Echo, "Bytes", {});
    const abort = new AbortController();
    const closed = server.close(abort.signal);
    abort.abort();
    await closed;
    await expect(call).rejects.toMatchObject({ code: "Unavailable" });
    await server.close(abort.signal);
  });

  it("rejects a service that is registered twice", () => {
    const services = [implement(Echo, echoHandlers), implement(Echo, echoHandlers)];
    expect(() => new TtrpcServer({ services })).toThrow("test.Echo");
  });
});

describe("types", () => {
  it("follow from the definition", () => {
    const { client } = connect();
    const say = () => client.call(Echo, "Say", {});
    const join = () => client.stream(Echo, "Join", values());
    const count = () => client.stream(Echo, "Count", {});
    expectTypeOf(say).returns.resolves.toEqualTypeOf<ttrpc.KeyValue>();
    expectTypeOf(join).returns.resolves.toEqualTypeOf<ttrpc.KeyValue>();
    expectTypeOf(count).returns.toEqualTypeOf<AsyncIterable<ttrpc.KeyValue>>();
    // @ts-expect-error a unary method is not streamed
    expect(() => client.stream(Echo, "Say", {})).toThrow("unary");
    client.close();
  });

  it("call handlers as methods of their object", async () => {
    class Counter {
      count = 0;
      async Say() {
        this.count += 1;
        return { value: String(this.count) };
      }
    }
    const pair = connect({}, { services: [implement(Echo, new Counter())] });
    await pair.client.call(Echo, "Say", {});
    expect(await pair.client.call(Echo, "Say", {})).toMatchObject({ value: "2" });
    pair.client.close();
  });
});
