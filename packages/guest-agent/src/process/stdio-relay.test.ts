import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { dialHost, dialHostDescriptor, GuestLog, serveGuestPorts } from "@uvm-shim/guest-agent-common";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { collect } from "../testing/collected.ts";
import { socketOf } from "./outputs.ts";
import { StdioRelay } from "./stdio-relay.ts";

const parameters: LinuxProcessParameters = {
  EmulateConsole: false,
  CreateStdInPipe: true,
  CreateStdOutPipe: true,
  CreateStdErrPipe: false,
};
const none = new AbortController().signal;

let folder: string;
let servers: Server[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "guest-agent-"));
  servers = [];
});

afterEach(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

async function listen(port: number): Promise<Promise<Socket>[]> {
  // A reader that stops leaves the other half of its connection aborted.
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}));
  servers.push(server);
  const accepted = [once(server, "connection").then(([socket]) => socket as Socket)];
  server.listen(join(folder, `hv.vsock_${port}`));
  await once(server, "listening");
  return accepted;
}

const dial = (port: number, signal: AbortSignal): Promise<number> => dialHostDescriptor(folder, port, signal);
const openFiles = (): number => readdirSync("/proc/self/fd").length;

describe("stdio of a process", () => {
  it("dials the host's ports, and carries bytes both ways to the end", async () => {
    const [hostIn] = await listen(1);
    const [hostOut] = await listen(2);
    const relay = await StdioRelay.connect(parameters, { StdIn: 1, StdOut: 2 }, dial, none);
    const [stdin, stdout, stderr] = relay.openPipes();
    expect(stderr).toBe("ignore");
    if (stdin === "ignore" || stdout === "ignore") throw new Error("pipes expected");
    // A child inherits these ends: the relay closes its copies when it starts.
    const child = spawn("cat", [], { stdio: [stdin, stdout, "inherit"] });
    relay.startPipes();
    (await hostIn)?.end("carried");
    expect(await text((await hostOut) as Socket)).toBe("carried");
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
    (await hostOut)?.end();
  });

  it("leaves nothing open if a port does not answer or is missing", async () => {
    const [hostOut] = await listen(2);
    const before = openFiles();
    const failed = StdioRelay.connect(parameters, { StdIn: 1, StdOut: 2 }, dial, none);
    await expect(failed).rejects.toThrow("hvsocket port 1 of the host");
    const socket = (await hostOut) as Socket;
    expect(await text(socket)).toBe("");
    // Closed files leave the table of open files in a later turn.
    while (openFiles() > before) await new Promise(setImmediate);
    await expect(StdioRelay.connect(parameters, { StdIn: 1 }, dial, none)).rejects.toThrow(
      "VsockStdioRelaySettings.StdOut is absent: expected a port, since CreateStdOutPipe is true",
    );
  });

  it("closes pipes and connections of a process that was not started", async () => {
    const [hostIn] = await listen(1);
    const [hostOut] = await listen(2);
    const relay = await StdioRelay.connect(parameters, { StdIn: 1, StdOut: 2 }, dial, none);
    relay.openPipes();
    relay.close();
    relay.close();
    expect(await text((await hostOut) as Socket)).toBe("");
    expect(await text((await hostIn) as Socket)).toBe("");
    (await hostIn)?.end();
    (await hostOut)?.end();
  });

  it("keeps the host's input open until the process ends, even if it is not read", async () => {
    const [hostIn] = await listen(1);
    const only = { ...parameters, CreateStdOutPipe: false };
    const relay = await StdioRelay.connect(only, { StdIn: 1 }, dial, none);
    relay.openPipes();
    // No child inherits the reading end, so it is closed as if the process had closed it.
    relay.startPipes();
    const socket = (await hostIn) as Socket;
    let hasEnded = false;
    socket
      .on("error", () => {})
      .on("end", () => {
        hasEnded = true;
      });
    socket.resume();
    for (let count = 0; count < 64; count++) socket.write("unread");
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    expect(hasEnded).toBe(false);
    const ended = new Promise((resolve) => socket.once("end", resolve).once("error", resolve));
    await relay.finish();
    await ended;
    socket.destroy();
  });

  it("lets the pipe fill up when the host has closed the output, and does not close it", async () => {
    const [hostOut] = await listen(2);
    const only = { ...parameters, CreateStdInPipe: false };
    const relay = await StdioRelay.connect(only, { StdOut: 2 }, dial, none);
    const [, stdout] = relay.openPipes();
    const writer = openSync(`/proc/self/fd/${stdout}`, constants.O_WRONLY | constants.O_NONBLOCK);
    relay.startPipes();
    ((await hostOut) as Socket).destroy();
    let codes = "";
    for (let busy = 0; busy < 100; ) {
      try {
        writeSync(writer, Buffer.alloc(65536));
        busy = 0;
      } catch (error) {
        codes = (error as NodeJS.ErrnoException).code ?? "";
        busy++;
      }
      await new Promise(setImmediate);
    }
    expect(codes).toBe("EAGAIN");
    closeSync(writer);
    await relay.finish();
  });

  it("dials a kept output again, until it is no longer kept", async () => {
    const [hostOut] = await listen(2);
    const only = { ...parameters, CreateStdInPipe: false };
    const relay = await StdioRelay.connect(only, { StdOut: 2 }, dial, none);
    const [, stdout] = relay.openPipes();
    const writer = openSync(`/proc/self/fd/${stdout}`, "w");
    relay.keepOutputs();
    relay.startPipes();
    ((await hostOut) as Socket).destroy();
    servers[0]?.close();
    const again = await listen(2);
    for (let isBack = false; !isBack; ) {
      writeSync(writer, "x");
      isBack = await Promise.race([
        again[0]?.then(() => true) ?? true,
        new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
      ]);
    }
    const socket = (await again[0]) as Socket;
    socket.destroy();
    servers[1]?.close();
    writeSync(writer, "lost with the host");
    closeSync(writer);
    relay.stopKeepingOutputs();
    await relay.finish();
    expect(socket.destroyed).toBe(true);
  });

  it("half-closes an output whose writers have closed it, and waits for the host's close", async () => {
    const [hostOut] = await listen(2);
    const only = { ...parameters, CreateStdInPipe: false };
    const relay = await StdioRelay.connect(only, { StdOut: 2 }, dial, none);
    const [, stdout] = relay.openPipes();
    const writer = openSync(`/proc/self/fd/${stdout}`, "w");
    relay.startPipes();
    const socket = (await hostOut) as Socket;
    let isFinished = false;
    const finished = relay.finish().then(() => {
      isFinished = true;
    });
    writeSync(writer, "last words");
    closeSync(writer);
    expect((await collect(socket, { keepsOpen: true }).all).toString()).toBe("last words");
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    expect(isFinished).toBe(false);
    socket.end();
    await finished;
  });
});

describe("the stream of a connection", () => {
  it("is made of a kind that Node has no sockets for, too", async () => {
    const stream = socketOf(openSync("/dev/null", "r+"));
    stream.destroy();
    await once(stream, "close");
  });
});

describe("ports of the guest", () => {
  it("pass connections to their service, with the bytes after the request line", async () => {
    const server = serveGuestPorts(folder, new Map([[7, (socket: Socket) => void socket.pipe(socket)]]));
    servers.push(server);
    await once(server, "listening");
    const socket = connect({ path: join(folder, "hv.vsock"), allowHalfOpen: true });
    socket.write("CONNE");
    socket.write("CT 7\nfirst ");
    socket.end("second");
    expect(await text(socket)).toBe("OK 7\nfirst second");
    const other = connect(join(folder, "hv.vsock"));
    other.end();
    expect(await text(other)).toBe("");
  });

  it("stop dialling when the signal aborts", async () => {
    await expect(dialHost(folder, 1, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

describe("the log", () => {
  const now = () => new Date(0);

  it("goes to the console, except while a forwarding sink is open", async () => {
    const console = new PassThrough();
    const sink = new PassThrough();
    const log = new GuestLog(console, now);
    log.info("one", { id: "x" });
    log.forwardTo(sink);
    log.warning("two");
    expect(String(sink.read())).toContain('"msg":"two"');
    sink.destroy();
    await once(sink, "close");
    log.error("three");
    console.end();
    expect(await text(console)).toBe(
      '{"time":"1970-01-01T00:00:00.000Z","level":"info","msg":"one","id":"x"}\n' +
        '{"time":"1970-01-01T00:00:00.000Z","level":"error","msg":"three"}\n',
    );
  });

  it("drops and counts lines that a slow reader does not take", () => {
    const lines: string[] = [];
    let release = (): void => {};
    const slow = new Writable({
      write: (chunk: Buffer, _, done) => {
        lines.push(chunk.toString());
        release = done;
      },
    });
    const log = new GuestLog(slow, now);
    log.debug("x".repeat(2 * 1024 * 1024));
    log.debug("dropped");
    log.debug("dropped");
    release();
    log.debug("next");
    expect(lines.at(-1)).toContain('"msg":"next","dropped":2');
  });
});
