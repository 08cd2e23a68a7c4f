/** Run under Wine: pipes, events and jobs of the Windows system. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { release } from "node:os";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import type { PipeServer } from "../../../packages/hcs-bindings/src/windows/io/pipes.ts";
import type { FunctionTable } from "../../../packages/hcs-bindings/src/windows/native/native-types.ts";
import { administratorsOnly } from "../../../packages/hcs-bindings/src/windows/system/security-descriptor.ts";
import { system } from "./system-under-test.ts";

const inspection = {
  GetNamedSecurityInfoW: {
    result: "uint32",
    parameters: ["text", "uint32", "uint32", "pointer", "pointer", "pointer", "pointer", "pointer"],
    since: 0,
    immediate: true,
  },
  ConvertSecurityDescriptorToStringSecurityDescriptorW: {
    result: "int32",
    parameters: ["pointer", "uint32", "uint32", "pointer", "pointer"],
    since: 0,
    immediate: true,
  },
} as const satisfies FunctionTable;

let pipes = 0;
const newPath = (): string => `\\\\.\\pipe\\ProtectedPrefix\\Administrators\\uvm-shim-test-${++pipes}`;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function serve(path: string, onConnection: (stream: Duplex) => void): Promise<PipeServer> {
  const server = await system.servePipe({
    path,
    onConnection,
    onError: (error) => {
      throw error;
    },
  });
  ends.push(() => server.close());
  return server;
}

async function client(path: string): Promise<Socket> {
  const socket = connect(path);
  ends.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

describe("pipes", () => {
  it("carry bytes both ways", async () => {
    const path = newPath();
    await serve(path, (stream) => stream.pipe(stream));
    const socket = await client(path);
    const bytes = Buffer.from(Array.from({ length: 2_000_000 }, (_, index) => index % 251));
    socket.write(bytes);
    const chunks: Buffer[] = [];
    for (let length = 0; length < bytes.length; ) {
      const [chunk] = (await once(socket, "data")) as [Buffer];
      chunks.push(chunk);
      length += chunk.length;
    }
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });

  it("serve many clients, and end with each of them", async () => {
    const path = newPath();
    const closed: Promise<unknown>[] = [];
    await serve(path, (stream) => closed.push(once(stream.resume(), "close")));
    const sockets = await Promise.all(Array.from({ length: 20 }, () => client(path)));
    for (const socket of sockets) socket.write("x");
    for (const socket of sockets) socket.end();
    await expect.poll(() => closed.length).toBe(20);
    await Promise.all(closed);
  });

  it("give the client what was written before the server's end", async () => {
    const path = newPath();
    await serve(path, (stream) => stream.end("last words", () => stream.destroy()));
    expect(String(await buffer(await client(path)))).toBe("last words");
  });

  it("are no longer served when the server is closed, and leave clients alone", async () => {
    const path = newPath();
    const streams: Duplex[] = [];
    const server = await serve(path, (stream) => streams.push(stream));
    const socket = await client(path);
    await expect.poll(() => streams.length).toBe(1);
    await server.close();
    await server.close();
    streams[0]?.write("still here");
    expect(String((await once(socket, "data"))[0])).toBe("still here");
    // The name is there while any stream is.
    const closed = Promise.all(streams.map((stream) => once(stream, "close")));
    socket.destroy();
    for (const stream of streams) stream.destroy();
    await closed;
    await expect(client(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("are for Administrators and SYSTEM alone", async () => {
    const path = newPath();
    await serve(path, (stream) => stream.destroy());
    const security = system.machine.library("C:\\windows\\system32\\advapi32.dll", inspection);
    const [descriptor, text] = [Buffer.alloc(8), Buffer.alloc(8)];
    const [fileObject, discretionary, revision] = [1, 4, 1];
    const read = "GetNamedSecurityInfoW";
    expect(security.call(read, path, fileObject, discretionary, null, null, null, null, descriptor)).toBe(0);
    const convert = "ConvertSecurityDescriptorToStringSecurityDescriptorW";
    const address = descriptor.readBigUInt64LE();
    expect(security.call(convert, address, revision, discretionary, text, null)).not.toBe(0);
    // "All" is reported as the rights of files that it stands for.
    const reported = system.machine.readText(text.readBigUInt64LE()).replaceAll("FA", "GA");
    expect(reported).toBe(administratorsOnly);
    for (const buffer of [descriptor, text]) system.kernel.call("LocalFree", buffer.readBigUInt64LE());
  });

  it("require a valid security descriptor", async () => {
    const nobody = { onConnection: () => {}, onError: () => {} };
    await expect(system.servePipe({ path: newPath(), descriptor: "everybody", ...nobody })).rejects.toMatchObject({
      code: "InvalidArgument",
      operation: "serve pipe",
    });
    await expect(system.servePipe({ path: "C:\\no\\pipe", ...nobody })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
  });
});

describe("named events", () => {
  it("wake one waiter for each set, by whatever handle", async () => {
    const made = system.events.create("uvm-shim-test-event", administratorsOnly);
    const opened = system.events.open("uvm-shim-test-event");
    ends.push(
      () => opened.close(),
      () => made.close(),
    );
    opened.set();
    await made.wait();
    const waits = [made.wait(), opened.wait()];
    made.set();
    await Promise.race(waits);
    opened.set();
    await Promise.all(waits);
  });

  it("are waited for until the wait is stopped, or until they are closed", async () => {
    const event = system.events.create("uvm-shim-test-event", administratorsOnly);
    const stop = new AbortController();
    const stopped = event.wait(stop.signal);
    const waiting = event.wait();
    stop.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
    await Promise.all([expect(waiting).rejects.toThrow("the event was closed"), event.close()]);
    await event.close();
    expect(() => system.events.open("uvm-shim-test-event")).toThrow("ENOENT");
  });
});

describe("jobs", () => {
  it("end their processes", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"]);
    await once(child, "spawn");
    const job = system.createJob();
    job.add(child.pid ?? 0);
    job.close();
    job.close();
    await once(child, "exit");
    expect(() => system.createJob().add(4_000_000)).toThrow("OpenProcess");
  });
});

describe("Windows", () => {
  it("reports its build", () => {
    expect(Number(release().split(".")[2])).toBeGreaterThan(14392);
  });
});
