import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { OpenStdio } from "../platform.ts";
import { createPipeStdio } from "./stdio-pipe.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };
const pipe = (name: string): string => `\\\\.\\pipe\\${name}`;

let directory: string;
let clock: ManualClock;
let retryMilliseconds: number;
const servers: net.Server[] = [];

/** Pipes are Unix sockets here. */
const place = (name: string): string => path.join(directory, name.slice(pipe("").length));
const open = (paths: Partial<typeof none>, signal?: AbortSignal) =>
  createPipeStdio({
    clock,
    retryMilliseconds: async () => retryMilliseconds,
    connect: (name) => net.connect(place(name)),
  }).open({ ...none, ...paths }, signal);

async function serve(name: string): Promise<{ readonly next: () => Promise<net.Socket>; readonly stop: () => void }> {
  const waiting: ((socket: net.Socket) => void)[] = [];
  const come: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const taker = waiting.shift();
    if (taker === undefined) come.push(socket);
    else taker(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(place(name), resolve));
  return {
    next: () =>
      new Promise((resolve) => {
        const socket = come.shift();
        if (socket === undefined) waiting.push(resolve);
        else resolve(socket);
      }),
    stop: () => void server.close(),
  };
}

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-pipes-"));
  clock = new ManualClock();
  retryMilliseconds = 0;
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

describe("standard input and output over named pipes", () => {
  it("flow in both directions, and end", async () => {
    const [input, output, errors] = [await serve(pipe("in")), await serve(pipe("out")), await serve(pipe("err"))];
    const stdio = await open({ stdin: pipe("in"), stdout: pipe("out"), stderr: pipe("err") });
    (await input.next()).end("typed");
    stdio.closeStdin();
    expect(await text(stdio.stdin as NodeJS.ReadableStream)).toBe("typed");
    const said = text(await output.next());
    const complained = text(await errors.next());
    stdio.stdout?.write("said");
    stdio.stderr?.write("complained");
    await stdio.close();
    await stdio.close();
    expect([await said, await complained]).toEqual(["said", "complained"]);
  });

  it("are closed within a bound although pending output is not read", async () => {
    const output = await serve(pipe("out"));
    const stdio = await open({ stdout: pipe("out") });
    const client = await output.next();
    stdio.stdout?.write(Buffer.alloc(4 * 1024 * 1024));
    const closed = stdio.close();
    await expect.poll(() => clock.sleepers).toBe(1);
    await clock.advance(1000);
    await closed;
    expect(stdio.stdout?.destroyed).toBe(true);
    client.destroy();
  });

  it("have a single output with a terminal", async () => {
    const output = await serve(pipe("out"));
    const stdio = await open({ stdout: pipe("out"), stderr: pipe("err"), terminal: true });
    expect(stdio.stderr).toBeUndefined();
    (await output.next()).resume();
    await stdio.close();
  });

  it("append to a file", async () => {
    const file = path.join(directory, "a file");
    for (const piece of ["one ", "two"]) {
      const stdio = await open({ stdout: pathToFileURL(file).href });
      stdio.stdout?.write(piece);
      await stdio.close();
    }
    expect(readFileSync(file, "utf8")).toBe("one two");
  });

  it("are refused by name when no server exists, and none is left open", async () => {
    const output = await serve(pipe("out"));
    await expect(open({ stdout: pipe("out"), stderr: pipe("none") })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/^stderr \\\\\.\\pipe\\none cannot be opened: .*ENOENT/),
    });
    expect(await text(await output.next())).toBe("");
  });

  it.each([
    ["stdin", "/a/path", "the path of a named pipe (\\\\.\\pipe\\...)"],
    ["stdin", "file:///a", "the path of a named pipe (\\\\.\\pipe\\...)"],
    ["stdout", "binary:///a", "the path of a named pipe (\\\\.\\pipe\\...) or file://"],
  ])("as %s are not %s", async (field, value, accepted) => {
    await expect(open({ [field]: value })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: `${field} is ${JSON.stringify(value)}, expected ${accepted}`,
    });
  });

  it("stop waiting when the caller gives up", async () => {
    await expect(open({ stdin: pipe("in") }, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

describe("an input whose server disappears", () => {
  it("reconnects to the next server, and ends with that one once it may", async () => {
    const first = await serve(pipe("in"));
    const stdio = await open({ stdin: pipe("in") });
    const typed = text(stdio.stdin as NodeJS.ReadableStream);
    (await first.next()).end("one ");
    first.stop();
    await expect.poll(() => clock.sleepers).toBe(1);
    await clock.advance(200);
    await expect.poll(() => clock.sleepers).toBe(1);
    const second = await serve(pipe("in"));
    await clock.advance(200);
    const client = await second.next();
    stdio.closeStdin();
    client.end("two");
    expect(await typed).toBe("one two");
    await stdio.close();
  });

  it.each([
    ["may end", (stdio: OpenStdio) => stdio.closeStdin()],
    ["is closed", (stdio: OpenStdio) => stdio.close()],
  ])("is waited for no longer once it %s", async (_, end) => {
    const server = await serve(pipe("in"));
    const stdio = await open({ stdin: pipe("in") });
    const closed = new Promise((resolve) => stdio.stdin?.once("close", resolve));
    stdio.stdin?.resume();
    (await server.next()).end();
    await expect.poll(() => clock.sleepers).toBe(1);
    await end(stdio);
    await closed;
    expect(clock.sleepers).toBe(0);
    await stdio.close();
  });
});

describe("an output whose server disappears", () => {
  const refused = (stream: NodeJS.WritableStream | undefined): Promise<Error> =>
    new Promise((resolve) => stream?.once("error", resolve));

  /** Opens an output and lets its server go. */
  async function lost() {
    const server = await serve(pipe("out"));
    const stdio = await open({ stdout: pipe("out") });
    const socket = await server.next();
    const gone = new Promise((resolve) => socket.once("close", resolve));
    server.stop();
    socket.destroy();
    await gone;
    return stdio;
  }

  it("reconnects to the next server, which gets what the first one did not read", async () => {
    const stdio = await lost();
    const written = new Promise<void>((resolve) => stdio.stdout?.write("for the second", () => resolve()));
    await expect.poll(() => clock.sleepers).toBe(1);
    await clock.advance(200);
    await expect.poll(() => clock.sleepers).toBe(1);
    const second = await serve(pipe("out"));
    await clock.advance(300);
    const received = text(await second.next());
    await written;
    await stdio.close();
    expect(await received).toBe("for the second");
  });

  it("fails when the time for that is over", async () => {
    retryMilliseconds = 300;
    const stdio = await lost();
    const failure = refused(stdio.stdout);
    stdio.stdout?.write("for nobody");
    await expect.poll(() => clock.sleepers).toBe(1);
    await clock.advance(200);
    expect((await failure).message).toContain("stdout \\\\.\\pipe\\out cannot be opened");
    await stdio.close();
  });

  it("stops reconnecting when it is destroyed", async () => {
    const stdio = await lost();
    stdio.stdout?.write("for nobody");
    await expect.poll(() => clock.sleepers).toBe(1);
    stdio.stdout?.destroy();
    await expect.poll(() => clock.sleepers).toBe(0);
    await stdio.close();
  });
});
