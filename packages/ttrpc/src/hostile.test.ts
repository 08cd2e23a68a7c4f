/** Peers that break the protocol: their connection ends or responds, and everything else continues. */
import { duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TtrpcClient } from "./client.ts";
import { encodeHeader, FrameDecoder, headerLength, protocolMaxMessageSize } from "./frame.ts";
import { ttrpc } from "./generated/messages.js";
import { TtrpcServer } from "./server.ts";
import { implement } from "./service.ts";
import { statusCodes } from "./status.ts";
import { connect, Echo, echoHandlers, untilAborted } from "./testing/echo.ts";

interface Answer {
  readonly streamId: number;
  readonly code: number;
}

function frameBytes(streamId: number, type: number, flags: number, payload: Uint8Array, length = payload.length) {
  const header = Buffer.alloc(headerLength);
  encodeHeader(header, streamId, type as 1, flags, length);
  return Buffer.concat([header, payload]);
}

function requestBytes(method: string, payload: Uint8Array = Buffer.alloc(0)): Uint8Array {
  return ttrpc.Request.encode({ service: "test.Echo", method, payload }).finish();
}

const say = requestBytes("Say");
const never = () => new Promise<never>(() => {});

/** A raw connection to a server that also has a well-behaved client. */
function hostile(handlers: Partial<typeof echoHandlers> = {}, maxMessageSize = 1000) {
  const server = new TtrpcServer({
    services: [implement(Echo, { ...echoHandlers, ...handlers })],
    maxMessageSize,
    stallMs: 5,
  });
  const [stream, serverStream] = duplexPair();
  const connection = server.serve(serverStream);
  const answers: Answer[] = [];
  const decoder = new FrameDecoder(protocolMaxMessageSize);
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame?.kind === "message"; frame = decoder.next()) {
      if (frame.type !== 2) continue;
      answers.push({ streamId: frame.streamId, code: ttrpc.Response.decode(frame.payload).status?.code ?? 0 });
    }
  });
  const [goodStream, goodServerStream] = duplexPair();
  server.serve(goodServerStream);
  const good = new TtrpcClient(goodStream);
  return {
    server,
    stream,
    connection,
    answers,
    /** The responses so far; the response to one more call proves that the server has processed everything before it. */
    async settled(streamId: number) {
      stream.write(frameBytes(streamId, 1, 0, requestBytes("Bytes")));
      await expect.poll(() => answers.map((answer) => answer.streamId)).toContain(streamId);
      await new Promise((resolve) => setImmediate(resolve));
      return answers.filter((answer) => answer.streamId !== streamId);
    },
    async othersGoOn() {
      expect(await good.call(Echo, "Bytes", { type_url: "fine" })).toMatchObject({ type_url: "fine" });
      server.destroy();
    },
  };
}

describe("the server", () => {
  it("discards an oversized payload, reports it on its stream, and continues", async () => {
    const peer = hostile();
    peer.stream.write(frameBytes(1, 1, 0, Buffer.alloc(1001)));
    expect(await peer.settled(3)).toEqual([{ streamId: 1, code: statusCodes.ResourceExhausted }]);
    await peer.othersGoOn();
  });

  it("ends a call whose stream gets a payload that is too large", async () => {
    const peer = hostile();
    peer.stream.write(frameBytes(1, 1, 2, requestBytes("Join")));
    peer.stream.write(frameBytes(1, 3, 0, Buffer.alloc(1001)));
    peer.stream.write(frameBytes(1, 3, 0, Buffer.alloc(1001)));
    expect(await peer.settled(3)).toEqual([{ streamId: 1, code: statusCodes.ResourceExhausted }]);
    await peer.othersGoOn();
  });

  it("rejects stream ids that are even, zero, repeated or decreasing, and data for unknown streams", async () => {
    const peer = hostile();
    const invalid = statusCodes.InvalidArgument;
    for (const streamId of [0, 2, 5, 5, 3]) peer.stream.write(frameBytes(streamId, 1, 0, say));
    peer.stream.write(frameBytes(9, 3, 0, Buffer.alloc(0)));
    const answers = await peer.settled(11);
    expect(answers.filter(({ code }) => code === invalid).map(({ streamId }) => streamId)).toEqual([0, 2, 5, 3, 9]);
    expect(answers.filter(({ code }) => code === 0)).toEqual([{ streamId: 5, code: 0 }]);
    await peer.othersGoOn();
  });

  it("answers a stream once, though its peer breaks the protocol before the handler answers", async () => {
    const aborted = Promise.withResolvers<unknown>();
    const peer = hostile({
      Say: async (_request, context) => {
        await untilAborted(context).catch(aborted.resolve);
        return {};
      },
    });
    peer.stream.write(frameBytes(1, 1, 0, say));
    peer.stream.write(frameBytes(1, 3, 0, Buffer.alloc(0)));
    peer.stream.write(frameBytes(1, 3, 0, Buffer.alloc(0)));
    expect(await aborted.promise).toMatchObject({ code: "InvalidArgument" });
    expect(await peer.settled(3)).toEqual([{ streamId: 1, code: statusCodes.InvalidArgument }]);
    await peer.othersGoOn();
  });

  it("rejects data after the end of the caller's stream", async () => {
    const peer = hostile({ Join: never });
    peer.stream.write(frameBytes(1, 1, 1, requestBytes("Join")));
    peer.stream.write(frameBytes(1, 3, 0, Buffer.alloc(0)));
    expect(await peer.settled(3)).toEqual([{ streamId: 1, code: statusCodes.InvalidArgument }]);
    await peer.othersGoOn();
  });

  it("rejects requests and messages that cannot be decoded", async () => {
    const peer = hostile();
    const garbage = Buffer.from([0x0a, 0x7f, 0x01]);
    peer.stream.write(frameBytes(1, 1, 0, garbage));
    peer.stream.write(frameBytes(3, 1, 0, requestBytes("Say", garbage)));
    peer.stream.write(frameBytes(5, 1, 2, requestBytes("Join", garbage)));
    const refused = (streamId: number) => ({ streamId, code: statusCodes.InvalidArgument });
    expect(await peer.settled(7)).toEqual([refused(1), refused(3), refused(5)]);
    await peer.othersGoOn();
  });

  it("expires calls whose timeout is negative", async () => {
    const peer = hostile();
    const expired = ttrpc.Request.encode({ service: "test.Echo", method: "Say", timeoutNano: -1 }).finish();
    peer.stream.write(frameBytes(1, 1, 0, expired));
    expect(await peer.settled(3)).toEqual([{ streamId: 1, code: statusCodes.DeadlineExceeded }]);
    await peer.othersGoOn();
  });

  it.each([0, 2, 4, 255])("closes a connection that sends frames of type %i", async (type) => {
    const peer = hostile();
    peer.stream.write(frameBytes(1, type, 0, say));
    expect(await peer.connection.closed).toMatchObject({ message: expect.stringContaining(`type ${type}`) });
    await peer.othersGoOn();
  });

  it("closes a connection that ends inside a frame", async () => {
    const peer = hostile();
    peer.stream.end(frameBytes(1, 1, 0, say).subarray(0, 12));
    expect(await peer.connection.closed).toMatchObject({ message: expect.stringContaining("inside a frame") });
    await peer.othersGoOn();
  });

  it("stops reading a peer that does not read its answers", async () => {
    let handled = 0;
    const handlers = {
      Say: async () => {
        handled += 1;
        return { value: "x".repeat(1000) };
      },
    };
    const server = new TtrpcServer({ services: [implement(Echo, handlers)] });
    const [stream, serverStream] = duplexPair();
    server.serve(serverStream);
    let asked = 0;
    const ask = async () => {
      for (let call = 0; call < 50; call++) stream.write(frameBytes(2 * asked++ + 1, 1, 0, say));
      await new Promise((resolve) => setImmediate(resolve));
    };
    while (!serverStream.writableNeedDrain) await ask();
    await ask();
    const before = handled;
    await ask();
    await ask();
    expect(handled).toBe(before);
    stream.resume();
    await expect.poll(() => handled).toBe(asked);
    server.destroy();
  });

  it("survives arbitrary input", async () => {
    const frame = fc.record({
      streamId: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.nat(2 ** 32 - 1)),
      type: fc.oneof({ weight: 20, arbitrary: fc.constantFrom(1, 3) }, fc.nat(255)),
      flags: fc.nat(7),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 100 }),
        fc.constantFrom("Say", "Bytes", "Count", "Join", "Chat", "None").map((method) => requestBytes(method)),
        fc.constant(Buffer.alloc(1500)),
      ),
      lie: fc.option(fc.nat(2 ** 32 - 1), { freq: 20 }),
    });
    const bytes = fc
      .array(frame, { maxLength: 20 })
      .map((frames) =>
        Buffer.concat(frames.map((of) => frameBytes(of.streamId, of.type, of.flags, of.payload, of.lie ?? undefined))),
      );
    const cuts = fc.array(fc.nat(2000), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes, fc.uint8Array({ maxLength: 300 })), cuts, async (garbage, cuts) => {
        const peer = hostile();
        let start = 0;
        for (const end of [...cuts.sort((left, right) => left - right), garbage.length]) {
          if (end > start) peer.stream.write(garbage.slice(start, end));
          start = Math.max(start, end);
        }
        peer.stream.end();
        await peer.connection.closed;
        await peer.othersGoOn();
      }),
      { numRuns: 300 },
    );
  });
});

describe("the client", () => {
  it("ignores frames for unknown streams", async () => {
    const { client, serverStream } = connect();
    for (const streamId of [0, 2, 99]) serverStream.write(frameBytes(streamId, 2, 0, Buffer.alloc(0)));
    expect(await client.call(Echo, "Say", { value: "on" })).toMatchObject({ value: "on" });
    client.close();
  });

  it("fails a unary call that is answered with data or with garbage", async () => {
    const { client, serverStream } = connect({ Say: never });
    const calls = [client.call(Echo, "Say", {}), client.call(Echo, "Say", {})];
    serverStream.write(frameBytes(1, 3, 0, Buffer.alloc(0)));
    serverStream.write(frameBytes(3, 2, 0, Buffer.from([0x0a, 0x7f])));
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "Internal" });
    client.close();
  });

  it.each([0, 1, 4])("closes a connection that sends frames of type %i", async (type) => {
    const { client, serverStream } = connect({ Say: never });
    const call = client.call(Echo, "Say", {});
    serverStream.write(frameBytes(1, type, 0, say));
    await expect(call).rejects.toMatchObject({ code: "Unavailable" });
    expect(await client.closed).toMatchObject({ message: expect.stringContaining(`type ${type}`) });
  });

  it("survives arbitrary input", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (garbage) => {
        const [stream, peer] = duplexPair();
        const client = new TtrpcClient(stream);
        peer.on("error", () => {});
        peer.resume();
        const call = client.call(Echo, "Say", {});
        peer.end(garbage);
        await expect(call).rejects.toHaveProperty("code");
        await client.closed;
      }),
    );
  });
});
