/** Hand-written bytes from the protocol's definition, compared with those that client and server write and read. */
import { duplexPair } from "node:stream";
import { describe, expect, it } from "vitest";
import { TtrpcClient } from "./client.ts";
import { TtrpcServer } from "./server.ts";
import { implement } from "./service.ts";
import { connect, Echo, echoHandlers } from "./testing/echo.ts";

const text = (value: string) => [...Buffer.from(value)];
/** A length-delimited protobuf field of fewer than 128 bytes. */
const field = (number: number, bytes: readonly number[]) => [(number << 3) | 2, bytes.length, ...bytes];
const frame = (streamId: number, type: number, flags: number, payload: readonly number[]) =>
  Buffer.from([0, 0, 0, payload.length, 0, 0, 0, streamId, type, flags, ...payload]);

const hello = [...field(1, text("k")), ...field(2, text("hello"))];
const request = (method: string, payload: readonly number[]) => [
  ...field(1, text("test.Echo")),
  ...field(2, text(method)),
  ...(payload.length > 0 ? field(3, payload) : []),
];

/** The server's answer to raw frames, up to its length. */
async function answer(frames: readonly Buffer[], length: number): Promise<Buffer> {
  const { clientStream, server } = connectRaw();
  for (const bytes of frames) clientStream.write(bytes);
  const bytes = await readBytes(clientStream, length);
  server.destroy();
  return bytes;
}

function connectRaw() {
  const server = new TtrpcServer({ services: [implement(Echo, echoHandlers)] });
  const [clientStream, serverStream] = duplexPair();
  server.serve(serverStream);
  return { clientStream, server };
}

async function readBytes(stream: NodeJS.ReadableStream, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      if (bytes.length >= length) resolve(bytes);
    });
  });
}

describe("server", () => {
  it("answers a unary request", async () => {
    const expected = frame(1, 2, 0, field(2, hello));
    expect(await answer([frame(1, 1, 0, request("Say", hello))], expected.length)).toEqual(expected);
  });

  it("answers an unknown method with code 12", async () => {
    const message = "Unknown method Sing of the service test.Echo.";
    const expected = frame(1, 2, 0, field(1, [0x08, 12, ...field(2, text(message))]));
    expect(await answer([frame(1, 1, 0, request("Sing", hello))], expected.length)).toEqual(expected);
  });

  it("ends a stream of responses with remote closed and no data", async () => {
    const one = [...field(1, text("k")), ...field(2, text("0"))];
    const asked = [...field(1, text("k")), ...field(2, text("1"))];
    const expected = Buffer.concat([frame(1, 3, 0, one), frame(1, 3, 1 | 4, [])]);
    expect(await answer([frame(1, 1, 1, request("Count", asked))], expected.length)).toEqual(expected);
  });

  it("accepts a stream of requests, its last message with remote closed, and answers with a response", async () => {
    const expected = frame(1, 2, 0, field(2, field(2, text("a,b"))));
    const sent = [
      frame(1, 1, 2, request("Join", [])),
      frame(1, 3, 0, field(2, text("a"))),
      frame(1, 3, 1, field(2, text("b"))),
    ];
    expect(await answer(sent, expected.length)).toEqual(expected);
  });

  it("treats the request's payload as the first message of a stream, and an empty data frame as a message", async () => {
    const expected = frame(1, 2, 0, field(2, field(2, text("a,"))));
    const sent = [frame(1, 1, 2, request("Join", field(2, text("a")))), frame(1, 3, 0, []), frame(1, 3, 1 | 4, [])];
    expect(await answer(sent, expected.length)).toEqual(expected);
  });
});

describe("client", () => {
  it("writes a unary request with timeout and metadata, and reads its response", async () => {
    const [clientStream, serverStream] = duplexPair();
    const client = new TtrpcClient(clientStream);
    const reply = client.call(
      Echo,
      "Say",
      { key: "k", value: "hello" },
      { timeoutMs: 0.0003, metadata: { Key: ["a", "b"] } },
    );
    const rejected = expect(reply).rejects.toMatchObject({ code: "DeadlineExceeded" });
    const metadata = ["a", "b"].flatMap((value) => field(5, [...field(1, text("key")), ...field(2, text(value))]));
    // 300 nanoseconds as a varint.
    const expected = frame(1, 1, 0, [...request("Say", hello), 0x20, 0xac, 0x02, ...metadata]);
    expect(await readBytes(serverStream, expected.length)).toEqual(expected);
    await rejected;
    client.close();
  });

  it("numbers its streams with odd ids and reads answers in any order", async () => {
    const [clientStream, serverStream] = duplexPair();
    const client = new TtrpcClient(clientStream);
    const replies = [
      client.call(Echo, "Say", { key: "k", value: "hello" }),
      client.call(Echo, "Say", { key: "k", value: "hello" }),
    ];
    const expected = [1, 3].map((streamId) => frame(streamId, 1, 0, request("Say", hello)));
    const length = expected.reduce((sum, { length }) => sum + length, 0);
    expect(await readBytes(serverStream, length)).toEqual(Buffer.concat(expected));
    serverStream.write(frame(3, 2, 0, field(2, field(2, text("second")))));
    serverStream.write(frame(1, 2, 0, field(2, field(2, text("first")))));
    expect(await Promise.all(replies)).toMatchObject([{ value: "first" }, { value: "second" }]);
    client.close();
  });

  it("opens a stream of requests with remote open and closes it with remote closed and no data", async () => {
    const [clientStream, serverStream] = duplexPair();
    const client = new TtrpcClient(clientStream);
    const reply = client.stream(
      Echo,
      "Join",
      (async function* () {
        yield { key: "k", value: "hello" };
      })(),
    );
    const expected = Buffer.concat([frame(1, 1, 2, request("Join", [])), frame(1, 3, 0, hello), frame(1, 3, 5, [])]);
    expect(await readBytes(serverStream, expected.length)).toEqual(expected);
    serverStream.write(frame(1, 2, 0, field(2, hello)));
    expect(await reply).toMatchObject({ value: "hello" });
    client.close();
  });

  it("opens a stream of responses with remote closed, and ends it at a last message or a response", async () => {
    const [clientStream, serverStream] = duplexPair();
    const client = new TtrpcClient(clientStream);
    const byData = client.stream(Echo, "Count", { key: "k", value: "hello" });
    const byResponse = client.stream(Echo, "Count", { key: "k", value: "hello" });
    const opening = [1, 3].map((streamId) => frame(streamId, 1, 1, request("Count", hello)));
    expect(await readBytes(serverStream, 2 * (opening[0]?.length ?? 0))).toEqual(Buffer.concat(opening));
    serverStream.write(frame(1, 3, 1, hello));
    serverStream.write(frame(3, 3, 0, hello));
    serverStream.write(frame(3, 2, 0, []));
    for (const stream of [byData, byResponse]) {
      const values: string[] = [];
      for await (const { value } of stream) values.push(value);
      expect(values).toEqual(["hello"]);
    }
    client.close();
  });

  it("reads a status with any code number", async () => {
    const { client, serverStream } = connect({ Say: () => new Promise(() => {}) });
    const unknown = client.call(Echo, "Say", {});
    serverStream.write(frame(1, 2, 0, field(1, [0x08, 99, ...field(2, text("odd"))])));
    await expect(unknown).rejects.toMatchObject({ code: "Unknown", message: "odd" });
    const notFound = client.call(Echo, "Say", {});
    serverStream.write(frame(3, 2, 0, field(1, [0x08, 5, ...field(2, text("gone"))])));
    await expect(notFound).rejects.toMatchObject({ code: "NotFound", message: "gone" });
    client.close();
  });
});
