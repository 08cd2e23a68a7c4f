import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, fstatSync, mkdtempSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { withFewDescriptors } from "@uvm-shim/test-support/few-descriptors";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listenForDescriptor, lockFile, pipe, TerminalStream } from "./index.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "linux-calls-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

describe("pipes", () => {
  it("carry bytes and are not inherited", () => {
    const { readFd, writeFd } = pipe();
    writeSync(writeFd, "through");
    closeSync(writeFd);
    const bytes = Buffer.alloc(16);
    expect(bytes.toString("utf8", 0, readSync(readFd, bytes))).toBe("through");
    expect(readFileSync(`/proc/self/fdinfo/${readFd}`, "utf8")).toMatch(/^flags:\s+0?2000000$/m);
    closeSync(readFd);
  });

  it.each([0, 1, 2, 3, 4, 5, 6])("are opened together or not at all, with %i descriptors left", (free) => {
    const made = withFewDescriptors({
      free,
      module: import.meta.resolve("./index.ts"),
      names: ["pipe", "pipes"],
      prepare: "for (const end of Object.values(pipe())) closeSync(end);",
      body: 'try { pipes(3); return "made"; } catch (error) { return error.code; }',
    });
    expect(made).toEqual(free < 6 ? { answer: "EMFILE", left: 0 } : { answer: "made", left: 6 });
  });
});

describe("locks", () => {
  it("have one holder at a time", () => {
    const path = join(folder, "lock");
    const lock = lockFile(path);
    expect(lock).toBeDefined();
    expect(lockFile(path)).toBeUndefined();
    lock?.release();
    lock?.release();
    const again = lockFile(path);
    expect(again).toBeDefined();
    again?.release();
    expect(() => lockFile(join(folder, "none", "lock"))).toThrow("ENOENT");
  });
});

const prelude = "import array, os, pty, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n";

function peer(path: string, script: string) {
  return spawn("python3", ["-c", prelude + script, path], { stdio: ["pipe", "pipe", "inherit"] });
}

describeWith("python3")("receiving descriptors", () => {
  it("returns the descriptor that is sent", async () => {
    const path = join(folder, "socket");
    const receiver = listenForDescriptor(path);
    const child = peer(path, 'r, w = os.pipe()\nsocket.send_fds(s, [b"x"], [w])\nos.close(w)\nprint(os.read(r, 9))');
    const descriptor = await receiver.receive(AbortSignal.timeout(10_000));
    receiver.close();
    receiver.close();
    expect(existsSync(path)).toBe(false);
    writeSync(descriptor, "hello");
    closeSync(descriptor);
    expect(await text(child.stdout)).toBe("b'hello'\n");
  });

  it.each([
    ["none", 's.send(b"x")', "sent no file descriptor"],
    ["nothing at all", "s.close()", "sent no file descriptor"],
    ["two", 'r, w = os.pipe()\nsocket.send_fds(s, [b"x"], [r, w])', "more than one"],
  ])("refuses a peer that sends %s", async (_, script, message) => {
    const path = join(folder, "socket");
    const receiver = listenForDescriptor(path);
    const child = peer(path, script);
    await expect(receiver.receive(AbortSignal.timeout(10_000))).rejects.toThrow(message);
    receiver.close();
    if (child.exitCode === null) await once(child, "exit");
  });

  it("stops on abort, and refuses a path that is too long", async () => {
    const receiver = listenForDescriptor(join(folder, "socket"));
    const stop = new AbortController();
    const received = receiver.receive(stop.signal);
    stop.abort(new Error("enough"));
    await expect(received).rejects.toThrow("enough");
    await expect(receiver.receive(stop.signal)).rejects.toThrow("enough");
    receiver.close();
    await expect(receiver.receive(new AbortController().signal)).rejects.toThrow("is closed");
    expect(() => listenForDescriptor(join(folder, "x".repeat(100)))).toThrow("expected at most 107");
  });
});

describeWith("python3")("terminals", () => {
  async function terminal(script: string) {
    const path = join(folder, "socket");
    const receiver = listenForDescriptor(path);
    const child = peer(
      path,
      `import fcntl, struct, termios, tty\nm, t = pty.openpty()\ntty.setraw(t)\nsocket.send_fds(s, [b"x"], [m])\nsys.stdin.read(1)\nos.close(m)\n${script}`,
    );
    const descriptor = await receiver.receive(AbortSignal.timeout(10_000));
    receiver.close();
    child.stdin.write("x");
    return { stream: new TerminalStream(descriptor), child, descriptor };
  }

  it("carry bytes both ways, and end when the other end is closed", async () => {
    const { stream, descriptor } = await terminal("os.write(t, os.read(t, 9).upper() * 100000)");
    stream.write("abcdefghi");
    const all = await text(stream);
    expect(all).toBe("ABCDEFGHI".repeat(100_000));
    if (!stream.closed) await once(stream, "close");
    expect(() => fstatSync(descriptor)).toThrow("EBADF");
  });

  it("do not block while the process at the other end does not read", async () => {
    const { stream, child } = await terminal(
      'sys.stdout.write("ready"); sys.stdout.flush()\nsys.stdin.read()\nn = 0\nwhile n < 1000000: n += len(os.read(t, 65536))\nprint(n)',
    );
    await once(child.stdout, "data");
    expect(stream.write(Buffer.alloc(1_000_000))).toBe(false);
    child.stdin.end();
    expect(await text(child.stdout)).toBe("1000000\n");
    stream.resume();
    if (!stream.closed) await once(stream, "close");
  });

  it("can be resized", async () => {
    const { stream, child } = await terminal(
      'os.read(t, 1)\nprint(struct.unpack("HHHH", fcntl.ioctl(t, termios.TIOCGWINSZ, b"0" * 8)))',
    );
    stream.resize(33, 111);
    stream.write("x");
    stream.resume();
    expect(await text(child.stdout)).toBe("(33, 111, 0, 0)\n");
    if (!stream.closed) await once(stream, "close");
    stream.resize(1, 1);
    expect(stream.destroyed).toBe(true);
  });
});
