import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createGrpcServer } from "./server.ts";
import type { GrpcServer, UnaryCall, UnaryHandler } from "./types.ts";

const unchanged = (bytes: Buffer): Buffer => bytes;

let directory: string;
let server: GrpcServer;
let sockets: net.Server;
let client: Client;
const handlers: { [method: string]: UnaryHandler } = {};

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "grpc-server-"));
  const handle: UnaryHandler = (request, call) => (handlers.Echo as UnaryHandler)(request, call);
  server = createGrpcServer({ services: { "test.v1.Echoes": { Echo: handle } }, largestMessage: 64 });
  sockets = net.createServer((connection) => server.accept(connection));
  const socket = path.join(directory, "s");
  await new Promise<void>((resolve) => sockets.listen(socket, resolve));
  client = new Client(`unix:${socket}`, credentials.createInsecure());
});

afterEach(async () => {
  client.close();
  await server.close(0);
  sockets.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Call {
  readonly answer: Promise<string>;
  cancel(): void;
}

function call(text: string, method = "Echo", metadata = new Metadata()): Call {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const under = client.makeUnaryRequest(
    ...([`/test.v1.Echoes/${method}`, unchanged, unchanged, Buffer.from(text), metadata] as const),
    (error: ServiceError | null, answer?: Buffer) => (error === null ? resolve(`${answer}`) : reject(error)),
  );
  return { answer: promise, cancel: () => under.cancel() };
}

describe("a server on accepted connections", () => {
  it("passes bytes and text headers to the handler, and its answer back", async () => {
    let seen: UnaryCall | undefined;
    let wasAborted = true;
    handlers.Echo = async (request, unary) => {
      seen = unary;
      wasAborted = unary.signal.aborted;
      return Buffer.concat([Buffer.from("> "), request]);
    };
    const metadata = new Metadata();
    metadata.set("containerd-namespace", "k8s.io");
    metadata.set("trace-bin", Buffer.from("binary"));
    expect(await call("hello", "Echo", metadata).answer).toBe("> hello");
    expect(seen?.headers.get("containerd-namespace")).toBe("k8s.io");
    expect(seen?.headers.has("trace-bin")).toBe(false);
    expect(wasAborted).toBe(false);
  });

  it("answers an error with its status code, and one without a code as unknown", async () => {
    handlers.Echo = async () => {
      throw Object.assign(new Error("no such sandbox"), { grpcCode: status.NOT_FOUND });
    };
    await expect(call("x").answer).rejects.toMatchObject({ code: status.NOT_FOUND, details: "no such sandbox" });
    handlers.Echo = () => {
      throw new Error("broken");
    };
    await expect(call("x").answer).rejects.toMatchObject({ code: status.UNKNOWN, details: "broken" });
  });

  it("refuses methods that it does not have and messages that are too large", async () => {
    handlers.Echo = async (request) => request;
    await expect(call("x", "Other").answer).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
    await expect(call("x".repeat(65)).answer).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(await call("x".repeat(64)).answer).toBe("x".repeat(64));
  });

  it("tells the handler that the client has given up", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<AbortSignal>();
    handlers.Echo = (_, { signal }) => {
      begin(signal);
      return new Promise(() => {});
    };
    const waiting = call("x");
    const signal = await begun;
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    waiting.cancel();
    await expect(waiting.answer).rejects.toMatchObject({ code: status.CANCELLED });
    await aborted;
  });

  it("lets calls that are under way end before it closes", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: answer, resolve: end } = Promise.withResolvers<Uint8Array>();
    handlers.Echo = () => {
      begin();
      return answer;
    };
    const last = call("x");
    await begun;
    const closed = server.close(10_000);
    end(Buffer.from("late"));
    expect(await last.answer).toBe("late");
    await closed;
  });

  it("cuts off calls that do not end within the time", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    handlers.Echo = () => {
      begin();
      return new Promise(() => {});
    };
    const stuck = call("x");
    stuck.answer.catch(() => {});
    await begun;
    await server.close(0);
    await expect(stuck.answer).rejects.toMatchObject({ code: expect.any(Number) });
  });

  it("survives a peer that does not speak HTTP/2", async () => {
    handlers.Echo = async (request) => request;
    const peer = net.connect(path.join(directory, "s"));
    peer.on("error", () => {});
    const closed = new Promise<void>((resolve) => peer.once("close", () => resolve()));
    peer.end("GET / HTTP/1.1\r\n\r\n");
    peer.resume();
    await closed;
    expect(await call("still here").answer).toBe("still here");
  });
});
