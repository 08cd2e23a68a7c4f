import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { processStartTime } from "./process-identity.ts";
import { endLoggingBinaries } from "./stdio-binary.ts";
import { createPosixStdio, parseUri } from "./stdio-posix.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };
let directory: string;
const fifo = (name: string): string => {
  const file = path.join(directory, name);
  execFileSync("mkfifo", [file]);
  return file;
};

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-stdio-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const collect = async (stream: Readable): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

/** A reader that, unlike fs streams, holds no thread of the pool. */
const reader = (file: string): Readable =>
  new net.Socket({ fd: openSync(file, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });

const readFileIfThere = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

const ended = (stream: Writable, last: string): Promise<void> => new Promise((resolve) => stream.end(last, resolve));

describe("stdin from a FIFO", () => {
  it("outlives each client, and ends with the last one once it may", async () => {
    const file = fifo("in");
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdin: file });
    let over = false;
    const content = collect(stdio.stdin as Readable).then((bytes) => {
      over = true;
      return bytes;
    });
    await sleep(30);
    expect(over).toBe(false);
    const first = openSync(file, constants.O_WRONLY);
    const second = openSync(file, constants.O_WRONLY);
    writeSync(first, "one ");
    closeSync(first);
    await sleep(30);
    expect(over).toBe(false);
    writeSync(second, "two ");
    closeSync(second);
    await sleep(30);
    expect(over).toBe(false);
    const third = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
    stdio.closeStdin();
    writeSync(third, "three");
    closeSync(third);
    expect((await content).toString()).toBe("one two three");
    stdio.closeStdin();
    await stdio.close();
  });

  it("ends at once if it may and no client is connected, after what they wrote", async () => {
    const file = fifo("in");
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdin: file });
    const client = openSync(file, constants.O_WRONLY);
    writeSync(client, "left behind");
    closeSync(client);
    stdio.closeStdin();
    expect((await collect(stdio.stdin as Readable)).toString()).toBe("left behind");
    await stdio.close();
  });

  it.each(["words", ""])("waits for its first writer and ends with it, if it ends with writers: %j", async (words) => {
    const file = fifo("in");
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdin: file, endsWithWriter: true });
    let over = false;
    const content = collect(stdio.stdin as Readable).then((bytes) => {
      over = true;
      return bytes;
    });
    await sleep(50);
    expect(over).toBe(false);
    const writer = openSync(file, constants.O_WRONLY);
    writeSync(writer, words);
    await sleep(30);
    expect(over).toBe(false);
    closeSync(writer);
    expect((await content).toString()).toBe(words);
    await stdio.close();
  });

  it("is cancelled by close while it waits", async () => {
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdin: fifo("in") });
    const closed = new Promise((resolve) => stdio.stdin?.once("close", resolve));
    stdio.stdin?.resume();
    await stdio.close();
    await stdio.close();
    await closed;
    expect(stdio.stdin?.destroyed).toBe(true);
    const descriptors = () => execFileSync("ls", ["-l", `/proc/${process.pid}/fd`]).toString();
    await expect.poll(descriptors).not.toContain(directory);
  });
});

describe("stdout to a FIFO", () => {
  it("carries 8 MiB completely and ends when the stream is ended", async () => {
    const file = fifo("out");
    const bytes = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef\n");
    const received = reader(file);
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: file });
    const content = collect(received);
    const stdout = stdio.stdout as Writable;
    await pipeline(async function* () {
      for (let offset = 0; offset < bytes.length; offset += 65536) yield bytes.subarray(offset, offset + 65536);
    }, stdout);
    expect((await content).equals(bytes)).toBe(true);
    await stdio.close();
  });

  it("keeps earlier output for a late reader", async () => {
    const file = fifo("out");
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: file });
    await ended(stdio.stdout as Writable, "early");
    const closing = stdio.close();
    await sleep(40);
    const content = collect(reader(file));
    await closing;
    expect((await content).toString()).toBe("early");
  });

  it("does not wait forever for a reader that never comes", async () => {
    const stdio = await createPosixStdio({ namespace: "ns", lateReaderMilliseconds: 40 }).open({
      ...none,
      stdout: fifo("out"),
    });
    stdio.stdout?.write("never read");
    await sleep(5);
    await stdio.close();
    expect(stdio.stdout?.destroyed).toBe(true);
  });

  it("survives a reader that leaves, and gives the next one what was not read", async () => {
    const file = fifo("out");
    const first = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: file });
    closeSync(first);
    await new Promise((resolve) => stdio.stdout?.write("kept", resolve));
    const content = collect(reader(file));
    stdio.stdout?.end();
    expect((await content).toString()).toBe("kept");
    await stdio.close();
  });

  it("names the field and path that cannot be opened", async () => {
    const missing = path.join(directory, "missing");
    const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: missing });
    await expect(open).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`stdout ${missing}`),
    });
  });

  it("leaves no descriptor open when a later stream cannot be opened", async () => {
    const missing = path.join(directory, "missing");
    const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: fifo("out"), stderr: missing });
    await expect(open).rejects.toMatchObject({ code: "InvalidArgument" });
    const descriptors = () => execFileSync("ls", ["-l", `/proc/${process.pid}/fd`]).toString();
    await expect.poll(descriptors).not.toContain(directory);
  });
});

describe("other destinations", () => {
  it("appends both stdout and stderr to file://", async () => {
    const file = path.join(directory, "logs", "both.log");
    const uri = `file://${file}`;
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri, stderr: uri });
    await ended(stdio.stdout as Writable, "output\n");
    await ended(stdio.stderr as Writable, "error\n");
    await stdio.close();
    expect(readFileSync(file, "utf8")).toBe("output\nerror\n");
  });

  it("runs a logging binary with its descriptors, arguments and environment", async () => {
    const script = path.join(directory, "logger.sh");
    const target = path.join(directory, "target");
    writeFileSync(
      script,
      '#!/bin/sh\nexec 5>&-\n{ echo "$CONTAINER_NAMESPACE $CONTAINER_ID $2"; cat <&3; cat <&4; } > "$2.part"\nmv "$2.part" "$2"\n',
      { mode: 0o755 },
    );
    const uri = `binary://${script}?target=${encodeURIComponent(target)}`;
    const stdio = await createPosixStdio({ namespace: "ns" }).open({
      ...none,
      stdout: uri,
      stderr: uri,
      containerId: "c1",
    });
    stdio.stdout?.write("out\n");
    stdio.stderr?.write("err\n");
    await stdio.close();
    await expect.poll(() => readFileIfThere(target)).toBe(`ns c1 ${target}\nout\nerr\n`);
  });

  it("gives a logging binary the descriptor limit that the shim was started with, not the raised one", async () => {
    const script = path.join(directory, "logger.sh");
    const target = path.join(directory, "target");
    const lines = ["#!/bin/sh", "exec 5>&-", 'cat <&3; echo "$1 $(ulimit -Sn)" > "$1.part"', 'mv "$1.part" "$1"', ""];
    writeFileSync(script, lines.join("\n"), { mode: 0o755 });
    vi.stubEnv("UVM_SHIM_OPEN_FILES", "321");
    try {
      const uri = `binary://${script}?${encodeURIComponent(target)}`;
      const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri });
      await stdio.close();
      await expect.poll(() => readFileIfThere(target)).toBe(`${target} 321\n`);
      const missing = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: `binary://${directory}/none` });
      await expect(missing).rejects.toMatchObject({
        code: "InvalidArgument",
        message: expect.stringMatching(/127 before/),
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("reports why a logging binary does not run", async () => {
    const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: `binary://${directory}/none` });
    await expect(open).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("cannot be run"),
    });
  });

  it("refuses a file on a file system where no directory can be created, at once and by its path", async () => {
    for (const [file, missing] of [
      ["/proc/x/y", "/proc/x"],
      ["/proc/x/y/z", "/proc/x"],
    ]) {
      const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: `file://${file}` });
      await expect(open).rejects.toMatchObject({
        code: "InvalidArgument",
        message: `stdout ${file} cannot be opened: ENOENT: no such file or directory, mkdir '${missing}'`,
      });
    }
  });

  it("treats a FIFO that is named as a file as a FIFO, and waits for no reader", async () => {
    const file = fifo("out");
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: `file://${file}` });
    const content = collect(reader(file));
    await ended(stdio.stdout as Writable, "through a FIFO");
    expect((await content).toString()).toBe("through a FIFO");
    await stdio.close();
  });

  it("writes to a device", async () => {
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: "file:///dev/null" });
    await ended(stdio.stdout as Writable, "nothing");
    await stdio.close();
    expect(stdio.stdout?.destroyed).toBe(true);
  });

  it("opens nothing for empty names and refuses unknown schemes", async () => {
    const stdio = await createPosixStdio({ namespace: "ns" }).open(none);
    expect(stdio).toEqual({ close: expect.any(Function), closeStdin: expect.any(Function) });
    expect(() => parseUri("stdin", "file:///x")).toThrow(/stdin is "file:\/\/\/x"/);
    expect(() => parseUri("stdout", "npipe:////x")).toThrow(/expected an absolute path/);
    expect(() => parseUri("stdout", "relative")).toThrow(/expected an absolute path/);
    for (const wrong of ["file:relative", "file:/x", "file:///a%00b", "binary:///a%00b", "/a\0b"]) {
      expect(() => parseUri("stdout", wrong)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
    }
    expect(() => parseUri("stdin", "/a\0b")).toThrow(/stdin is "\/a\\u0000b"/);
  });

  it.each([
    ["binary:///bin/log?token=canary", "binary:///bin/log?…"],
    ["binary:///bin/log#canary", "binary:///bin/log#…"],
    ["https://user:canary@log/x?canary", "https://…@log/x?…"],
  ])("are named without the arguments that they pass on: %s", (uri, told) => {
    expect(() => parseUri("stdin", uri)).toThrow(`stdin is ${JSON.stringify(told)}, expected `);
  });
});

describe("a logging binary that fails", () => {
  const shell = (script: string): string => `binary:///bin/sh?-c=${encodeURIComponent(script)}`;
  const pidFile = (): string => path.join(directory, "pid");
  const told = async (): Promise<number> => {
    await expect.poll(() => readFileIfThere(pidFile()), { timeout: 5000 }).toMatch(/\n$/);
    return Number(readFileSync(pidFile(), "utf8"));
  };

  it.each([
    ["exits", "exit 1", "exited with code 1"],
    ["is killed", "kill -9 $$", "was killed by SIGKILL"],
    ["leaves a child that is not ready and exits", "sleep 1000 & exit 3", "exited with code 3"],
  ])("is refused when it %s before it is ready", async (_, script, why) => {
    const uri = shell(script);
    await expect(createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: `stdout binary:///bin/sh?… ${why} before it was ready: expected it to close descriptor 5 and keep reading`,
    });
  });

  it("may leave a child in its place, or signal by a byte that it is ready", async () => {
    for (const script of ["cat <&3 5>&- & exit 0", "printf r >&5; exec cat <&3"]) {
      const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: shell(script) });
      expect(stdio.stdout?.writable).toBe(true);
      await stdio.close();
    }
  });

  it("is refused and ended, with its children, when it does not become ready", async () => {
    const clock = new ManualClock();
    // It reads its output to the end, and never closes the descriptor for its readiness.
    const uri = shell(`sleep 1000 & echo $! >${pidFile()}; cat <&3; wait`);
    const open = createPosixStdio({ namespace: "ns", clock }).open({ ...none, stdout: uri });
    const failed = expect(open).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: `stdout binary:///bin/sh?… was not ready within 10000 ms: expected it to close descriptor 5`,
    });
    const child = await told();
    await clock.advance(10_000);
    await failed;
    await expect.poll(() => processStartTime(child)).toBeUndefined();
  });

  it("is ended when the caller gives up", async () => {
    const giveUp = new AbortController();
    const uri = shell(`echo $$ >${pidFile()}; exec sleep 1000`);
    const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri }, giveUp.signal);
    const failed = expect(open).rejects.toThrow("given up");
    const pid = await told();
    giveUp.abort(new Error("given up"));
    await failed;
    await expect.poll(() => processStartTime(pid)).toBeUndefined();
  });

  it("is not run when another stream cannot be opened", async () => {
    const uri = shell(`echo $$ >${pidFile()}; exec 5>&-; exec cat <&3`);
    const stdin = path.join(directory, "missing");
    const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdin, stdout: uri });
    await expect(open).rejects.toThrow(`stdin ${stdin} cannot be opened`);
    expect(readFileIfThere(pidFile())).toBe("");
  });

  it("is refused by its path when the path cannot be followed", async () => {
    const link = path.join(directory, "link");
    symlinkSync(link, link);
    for (const [uri, why] of [
      [`binary://${link}`, "cannot be run: spawn ELOOP"],
      [`binary://${directory}/${"x/".repeat(3000)}`, "cannot be run: spawn ENAMETOOLONG"],
    ] as const) {
      const open = createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri });
      const message = expect.stringContaining(`stdout ${uri} ${why}`);
      await expect(open).rejects.toMatchObject({ code: "InvalidArgument", message });
    }
  });

  it("is ended when its stream has been given up", async () => {
    const uri = shell(`echo $$ >${pidFile()}; exec 5>&-; exec sleep 1000`);
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri });
    const pid = await told();
    stdio.stdout?.write(Buffer.alloc(500_000));
    stdio.stdout?.destroy();
    await new Promise((resolve) => stdio.stdout?.once("close", resolve));
    await stdio.close();
    await expect.poll(() => processStartTime(pid)).toBeUndefined();
  });

  it("is asked to end at the shim's end if the end of its input has not ended it", async () => {
    const uri = shell(`echo $$ >${pidFile()}; exec 5>&-; cat <&3 >/dev/null; exec sleep 1000`);
    const stdio = await createPosixStdio({ namespace: "ns" }).open({ ...none, stdout: uri });
    const pid = await told();
    await stdio.close();
    expect(processStartTime(pid)).toBeDefined();
    const clock = new ManualClock();
    const ending = endLoggingBinaries(clock);
    await expect.poll(() => clock.sleepers).toBeGreaterThan(0);
    await clock.advance(500);
    await ending;
    await expect.poll(() => processStartTime(pid)).toBeUndefined();
  });

  it("is closed and ended within a bound when it has stopped reading", async () => {
    const clock = new ManualClock();
    const uri = shell(`echo $$ >${pidFile()}; exec 5>&-; exec sleep 1000`);
    const stdio = await createPosixStdio({ namespace: "ns", clock }).open({ ...none, stdout: uri, stderr: uri });
    const pid = await told();
    stdio.stdout?.write(Buffer.alloc(500_000));
    const closed = stdio.close();
    await expect.poll(() => clock.sleepers).toBeGreaterThan(0);
    await clock.advance(1000);
    await closed;
    expect(stdio.stdout?.destroyed).toBe(true);
    await expect.poll(() => processStartTime(pid)).toBeUndefined();
  });
});
