import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectUnixSocket } from "./descriptors.ts";
import { invoke } from "./libc.ts";
import { connectStream, socketOf, vsockAddressOf } from "./stream-sockets.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const closedDescriptor = 10_000;
const never = new AbortController().signal;

function inetAddress(port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(2, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  return address;
}

/** All that comes until the other end has ended; unlike node:stream/consumers, it leaves the socket open. */
async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

let folder: string;
let server: Server;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stream-sockets-"));
  server = createServer({ allowHalfOpen: true });
});
afterEach(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

/** A connection to a listener, which Node does not know of on this end, and the listener's socket. */
async function connected(): Promise<{ readonly descriptor: number; readonly peer: Socket }> {
  const path = join(folder, "s");
  server.listen(path);
  await once(server, "listening");
  const accepted = once(server, "connection");
  const descriptor = connectUnixSocket(path);
  if (descriptor === undefined) throw new Error("the backlog of a new listener is full");
  const [peer] = await accepted;
  return { descriptor, peer };
}

describe("the address of a vsock port", () => {
  it("is a sockaddr_vm", () => {
    expect(vsockAddressOf(2, 0x40000000).toString("hex")).toBe("28000000000000400200000000000000");
  });
});

describe("a connection that does not wait", () => {
  it("is made", async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const accepted = once(server, "connection");
    const descriptor = await connectStream(inetAddress((server.address() as AddressInfo).port), "here", never);
    expect(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8")).toMatch(/^flags:\s+02004002$/m);
    const [peer] = (await accepted) as [Socket];
    const socket = socketOf(descriptor);
    socket.end("hello");
    expect(String(await received(peer))).toBe("hello");
    peer.end();
    await received(socket);
  });

  it("is refused, with the address's name, and leaves nothing open", async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const before = openDescriptors();
    await expect(connectStream(inetAddress(port), "nobody", never)).rejects.toMatchObject({
      message: "connect nobody: ECONNREFUSED",
    });
    await expect(connectStream(inetAddress(port), "nobody", AbortSignal.abort(new Error("over")))).rejects.toThrow(
      "over",
    );
    expect(openDescriptors()).toBe(before);
  });
});

describe("a socket over a descriptor", () => {
  it("carries much both ways, and the end of each way by itself", async () => {
    const { descriptor, peer } = await connected();
    const socket = socketOf(descriptor);
    const many = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef");
    socket.end(many);
    expect((await received(peer)).equals(many)).toBe(true);
    peer.end(many);
    expect((await received(socket)).equals(many)).toBe(true);
  });

  it("reports the end of its peer, and still writes", async () => {
    const { descriptor, peer } = await connected();
    const socket = socketOf(descriptor);
    peer.end("first");
    expect(String(await received(socket))).toBe("first");
    socket.end("last");
    expect(String(await received(peer))).toBe("last");
  });

  it("owns the descriptor, and is not inherited", async () => {
    const { descriptor, peer } = await connected();
    const before = openDescriptors();
    const socket = socketOf(descriptor);
    expect(openDescriptors()).toBe(before);
    socket.destroy();
    await once(socket, "close");
    expect(openDescriptors()).toBe(before - 1);
    peer.destroy();
  });

  it("is made over what Node refuses, which sees calls of read and write alone", async () => {
    const ends = new Int32Array(2);
    invoke("socketpair", "", AF_UNIX, SOCK_SEQPACKET, 0, ends);
    const [first = -1, second = -1] = ends;
    expect(() => new Socket({ fd: first })).toThrow("Unsupported fd type: UNKNOWN");
    const [one, two] = [socketOf(first), socketOf(second)];
    one.write("a packet");
    expect(String((await once(two, "data"))[0])).toBe("a packet");
    one.end();
    await once(two, "end");
    two.end();
    await Promise.all([one.resume(), two].map((socket) => once(socket, "close")));
  });

  it("fails for a descriptor that is closed, and leaves nothing open", async () => {
    const before = openDescriptors();
    expect(() => socketOf(closedDescriptor)).toThrow("EBADF");
    await new Promise(setImmediate);
    expect(openDescriptors()).toBe(before);
  });
});
