import { once } from "node:events";
import { closeSync, mkdtempSync, readSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { connectUnixSocket, letBlock, PipeFiller, pipe } from "./index.ts";

const MEBIBYTE = 1024 * 1024;

describeWith("Linux")("a pipe that is filled from a socket", () => {
  let folder: string;
  let server: Server;
  let path: string;
  let peer: Socket;
  let socket: number;
  let ends: { readFd: number; writeFd: number };
  let events: string[];
  let filler: PipeFiller | undefined;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "pipe-filler-"));
    path = join(folder, "socket");
    server = createServer().listen(path);
    await once(server, "listening");
    const connected = once(server, "connection");
    socket = connectUnixSocket(path) as number;
    [peer] = (await connected) as [Socket];
    peer.on("error", () => {});
    ends = pipe();
    events = [];
  });
  afterEach(() => {
    filler?.stop();
    filler = undefined;
    closeSync(ends.readFd);
    closeSync(socket);
    peer.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** Resolves with an event once it has been told. */
  const fill = (): ((kind: "moved" | "waits" | "stopped") => Promise<void>) => {
    const waiting: { readonly kind: string; readonly resolve: () => void }[] = [];
    const tell = (kind: string, bytes?: number): void => {
      events.push(bytes === undefined ? kind : `${kind} ${bytes}`);
      for (const waiter of waiting.splice(0)) {
        if (waiter.kind === kind) waiter.resolve();
        else waiting.push(waiter);
      }
    };
    filler = new PipeFiller(socket, ends.writeFd, {
      moved: (bytes) => tell("moved", bytes),
      waits: (unread) => tell("waits", unread),
      stopped: () => tell("stopped"),
    });
    return (kind) => new Promise((resolve) => waiting.push({ kind, resolve }));
  };
  const read = (length = 2 * MEBIBYTE, descriptor = ends.readFd): Buffer => {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(descriptor, bytes));
  };

  it("has what arrived before and after, in order, and stops at the end of the socket", async () => {
    peer.write("before ");
    const told = fill();
    await told("moved");
    const next = told("moved");
    peer.write("after");
    await next;
    const over = told("stopped");
    peer.end();
    await over;
    expect(`${read()}`).toBe("before after");
    expect(read()).toHaveLength(0);
    expect(events).toEqual(["moved 7", "moved 5", "stopped"]);
  });

  it("waits while nobody reads, and goes on when somebody does", async () => {
    const bytes = Buffer.alloc(8 * MEBIBYTE, "0123456789abcdef-");
    const told = fill();
    const full = told("waits");
    peer.end(bytes);
    await full;
    const over = told("stopped");
    const received: Buffer[] = [];
    let length = 0;
    while (length < bytes.length) {
      const moved = told("moved");
      const chunk = read();
      received.push(chunk);
      length += chunk.length;
      if (length < bytes.length) await Promise.race([moved, over]);
    }
    await over;
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
    expect(events.filter((event) => event === "stopped")).toHaveLength(1);
  });

  it("goes on at the end of the socket until its reader has taken all but what a usual pipe holds", async () => {
    const told = fill();
    const full = told("waits");
    peer.end(Buffer.alloc(MEBIBYTE / 2));
    await full;
    const over = told("stopped");
    expect(events).not.toContain("stopped");
    let length = 0;
    while (MEBIBYTE / 2 - length > 64 * 1024) length += read(32 * 1024).length;
    await over;
    for (let chunk = read(); chunk.length > 0; chunk = read()) length += chunk.length;
    expect(length).toBe(MEBIBYTE / 2);
    expect(events.at(-1)).toBe("stopped");
  });

  it("leaves what it has not moved in the socket when it is stopped, and closes the pipe", async () => {
    const told = fill();
    peer.write("moved");
    await told("moved");
    filler?.stop();
    filler?.stop();
    peer.write("left");
    peer.end();
    letBlock(socket);
    expect([`${read(16, socket)}`, `${read()}`, read().length]).toEqual(["left", "moved", 0]);
    expect(events).toEqual(["moved 5"]);
  });

  it("stops when the pipe has no reader, and leaves the bytes in the socket", async () => {
    closeSync(ends.readFd);
    const told = fill();
    const over = told("stopped");
    peer.write("unread");
    await over;
    expect([events, `${read(16, socket)}`]).toEqual([["stopped"], "unread"]);
    ends = pipe();
    closeSync(ends.writeFd);
  });

  it("stops when the connection breaks", async () => {
    const told = fill();
    const over = told("stopped");
    peer.destroy();
    await over;
    expect(events).toEqual(["stopped"]);
  });
});
