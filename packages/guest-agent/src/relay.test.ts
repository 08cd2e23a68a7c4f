import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dialHost, dialHostDescriptor, serveGuestPorts } from "./hvsocket.ts";
import { GuestLog } from "./log.ts";
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
  it("dials the host's ports and carries both ways to the end", async () => {
    const [hostIn] = await listen(1);
    const [hostOut] = await listen(2);
    const relay = await StdioRelay.connect(parameters, { StdIn: 1, StdOut: 2 }, dial, none);
    const [stdin, stdout, stderr] = relay.openPipes();
    expect(stderr).toBe("ignore");
    if (stdin === "ignore" || stdout === "ignore") throw new Error("pipes expected");
    // The process's ends, as a child inherits them: the relay closes its own when it starts.
    const child = spawn("cat", [], { stdio: [stdin, stdout, "inherit"] });
    relay.startPipes();
    (await hostIn)?.end("carried");
    expect(await text((await hostOut) as Socket)).toBe("carried");
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
    (await hostOut)?.end();
  });

  it("leaves nothing open when a port does not answer or is not named", async () => {
    const [hostOut] = await listen(2);
    const before = openFiles();
    const failed = StdioRelay.connect(parameters, { StdIn: 1, StdOut: 2 }, dial, none);
    await expect(failed).rejects.toThrow("hvsocket port 1 of the host");
    const socket = (await hostOut) as Socket;
    expect(await text(socket)).toBe("");
    // What is closed leaves the table of open files in a later turn.
    while (openFiles() > before) await new Promise(setImmediate);
    await expect(StdioRelay.connect(parameters, { StdIn: 1 }, dial, none)).rejects.toThrow(
      "VsockStdioRelaySettings.StdOut is absent although CreateStdOutPipe is true",
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

  it("ends the host's input when the process does not read it", async () => {
    const [hostIn] = await listen(1);
    const only = { ...parameters, CreateStdOutPipe: false };
    const relay = await StdioRelay.connect(only, { StdIn: 1 }, dial, none);
    relay.openPipes();
    // Nobody has inherited the reading end, so it is closed as if the process had closed it.
    relay.startPipes();
    const socket = (await hostIn) as Socket;
    socket.on("error", () => {});
    socket.write("unread");
    expect(await text(socket)).toBe("");
    socket.destroy();
  });

  it("lets the process's next write fail when the host has closed the output", async () => {
    const [hostOut] = await listen(2);
    const only = { ...parameters, CreateStdInPipe: false };
    const relay = await StdioRelay.connect(only, { StdOut: 2 }, dial, none);
    const [, stdout] = relay.openPipes();
    const writer = openSync(`/proc/self/fd/${stdout}`, "w");
    relay.startPipes();
    const socket = (await hostOut) as Socket;
    socket.destroy();
    const write = (): boolean => {
      try {
        writeSync(writer, "x");
        return true;
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe("EPIPE");
        return false;
      }
    };
    while (write()) await new Promise(setImmediate);
    closeSync(writer);
  });
});

describe("ports of the guest", () => {
  it("are answered when somebody serves them, with what came after the line", async () => {
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

  it("give up dialling when they are told to", async () => {
    await expect(dialHost(folder, 1, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

describe("the log", () => {
  const now = () => new Date(0);

  it("goes to the console until somebody takes it, and back when they leave", async () => {
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

  it("drops and counts what a reader does not keep up with", () => {
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
    log.debug("told");
    expect(lines.at(-1)).toContain('"msg":"told","dropped":2');
  });
});
