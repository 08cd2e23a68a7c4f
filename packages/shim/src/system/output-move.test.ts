import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { MoveWatcher } from "../platform.ts";
import type { LinuxCallsPart } from "./output-move.ts";
import { createPosixStdio } from "./stdio-posix.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };

const unlessBusy = (call: () => number): number | undefined => {
  try {
    return call();
  } catch (error) {
    // Without a descriptor of its own it may meet one that has just been closed.
    if (["EAGAIN", "EBADF"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
};

/** What packages/linux-calls does inside the kernel, by reading and writing. */
class CopyingCalls implements LinuxCallsPart {
  readonly open = new Set<number>();

  fillPipe(socket: number, pipe: number, watcher: MoveWatcher): { stop(): void } {
    this.open.add(pipe);
    const buffer = Buffer.alloc(64 * 1024);
    let rest = buffer.subarray(0, 0);
    const stop = (): void => {
      if (this.open.delete(pipe)) closeSync(pipe);
    };
    const carry = (): void => {
      if (!this.open.has(pipe)) return;
      if (rest.length === 0) {
        const read = unlessBusy(() => readSync(socket, buffer));
        if (read === 0) {
          watcher.stopped();
          return;
        }
        rest = buffer.subarray(0, read ?? 0);
      }
      const written = rest.length === 0 ? 0 : (unlessBusy(() => writeSync(pipe, rest)) ?? 0);
      rest = rest.subarray(written);
      if (written > 0) watcher.moved(written);
      else if (rest.length > 0) watcher.waits(rest.length);
      setImmediate(carry);
    };
    setImmediate(carry);
    return { stop };
  }
}

describeWith("Linux")("output that is moved from a socket to a FIFO", () => {
  let directory: string;
  let server: net.Server;
  let source: net.Socket;
  let guest: net.Socket;
  let fifo: string;
  let client: net.Socket;
  const calls = new CopyingCalls();
  const ignored: MoveWatcher = { moved: () => {}, waits: () => {}, stopped: () => {} };

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), "output-move-"));
    server = net.createServer({ allowHalfOpen: true }).listen(path.join(directory, "guest"));
    await once(server, "listening");
    const accepted = once(server, "connection");
    guest = net.connect({ path: path.join(directory, "guest"), allowHalfOpen: true });
    [source] = (await accepted) as [net.Socket];
    fifo = path.join(directory, "out");
    execFileSync("mkfifo", [fifo]);
    client = new net.Socket({ fd: openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK), writable: false });
  });
  afterEach(() => {
    for (const socket of [source, guest, client]) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
    expect(calls.open.size).toBe(0);
  });

  const open = async () => {
    const stdio = await createPosixStdio({ namespace: "ns", loadLinuxCalls: async () => calls }).open({
      ...none,
      stdout: fifo,
    });
    return { ...stdio, stdout: stdio.stdout as NonNullable<typeof stdio.stdout> };
  };
  const received = (): Promise<string> =>
    new Promise((resolve) => {
      const hash = createHash("sha256");
      client.on("data", (chunk: Buffer) => hash.update(chunk)).once("end", () => resolve(hash.digest("hex")));
    });
  const hashOf = (...parts: readonly Buffer[]): string => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest("hex");
  };

  it("goes on where reading stopped, and is at its end for who reads the source again", async () => {
    const { stdout, moveOutput, close } = await open();
    const all = received();
    const first = Buffer.alloc(1_000_000, "what is read ");
    const second = Buffer.alloc(5_000_000, "what is moved ");
    const move = await moveOutput?.(source, stdout);
    let read = 0;
    let moved = 0;
    const stopped = Promise.withResolvers<void>();
    source.on("data", (chunk: Buffer) => {
      read += chunk.length;
      const isFirst = read === chunk.length;
      if (isFirst) move?.hold();
      stdout.write(chunk, () => {
        if (!isFirst) return;
        const watcher = { ...ignored, moved: (bytes: number) => (moved += bytes), stopped: () => stopped.resolve() };
        move?.begin(watcher);
      });
    });
    const ended = once(source, "end");
    guest.write(first);
    guest.end(second);
    await stopped.promise;
    await ended;
    expect(read + moved).toBe(first.length + second.length);
    expect(moved).toBeGreaterThan(second.length);
    await close();
    expect(await all).toBe(hashOf(first, second));
  });

  it("is read again after a stop, without a loss", async () => {
    const { stdout, moveOutput, close } = await open();
    const all = received();
    const move = await moveOutput?.(source, stdout);
    source.on("data", (chunk: Buffer) => stdout.write(chunk));
    move?.hold();
    guest.write("while it is held, ");
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(source.bytesRead).toBe(0);
    const moved = new Promise((resolve) => move?.begin({ ...ignored, moved: resolve }));
    expect(await moved).toBe(18);
    move?.stop();
    move?.stop();
    guest.end("and afterwards");
    await once(source, "end");
    expect(source.bytesRead).toBe(14);
    await new Promise((resolve) => stdout.write("", resolve));
    await close();
    expect(await all).toBe(hashOf(Buffer.from("while it is held, and afterwards")));
  });

  it("leaves nothing open when the client's ends, or the source, are closed", async () => {
    for (const end of ["client", "source"] as const) {
      const { stdout, moveOutput, close } = await open();
      const move = await moveOutput?.(source, stdout);
      move?.hold();
      move?.begin(ignored);
      expect(calls.open.size).toBe(1);
      if (end === "source") {
        source.destroy();
        await once(source, "close");
      } else await close();
      expect(calls.open.size).toBe(0);
      await close();
    }
  });

  it("is not prepared for a source that is no socket, for what is no FIFO, and without the calls", async () => {
    const { stdout, moveOutput, close } = await open();
    expect(await moveOutput?.(new PassThrough(), stdout)).toBeUndefined();
    expect(await moveOutput?.(source, new PassThrough())).toBeUndefined();
    await close();
    expect(await moveOutput?.(source, stdout)).toBeUndefined();
    const file = { ...none, stdout: `file://${directory}/file` };
    const ofFile = await createPosixStdio({ namespace: "ns", loadLinuxCalls: async () => calls }).open(file);
    const without = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: fifo });
    expect([ofFile.moveOutput, without.moveOutput]).toEqual([undefined, undefined]);
    await Promise.all([ofFile.close(), without.close()]);
  });
});
