import { closeSync, fstatSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  callFileSystem,
  longestFileCall,
  makeDirectories,
  mostCallsAtOnce,
  openNamed,
  readNamedFile,
} from "./file-calls.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-file-calls-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("making directories", () => {
  it("creates the missing ones, with their mode", async () => {
    const deep = path.join(directory, "a", "b", "c");
    await makeDirectories(deep, 0o700);
    await makeDirectories(deep);
    for (const made of [deep, path.dirname(deep)]) expect(statSync(made).mode & 0o777).toBe(0o700);
  });

  it.each(["/proc/x", "/proc/x/y/z", "/proc/self/x/y"])("fails on a file system that allows none: %s", async (made) => {
    await expect(makeDirectories(made)).rejects.toMatchObject({ syscall: "mkdir", code: "ENOENT" });
  });
});

describe("reading a file", () => {
  const read = (name: string, largest = 1_000_000) =>
    readNamedFile(path.join(directory, name), largest, { clock: systemClock });

  it.each([0, 1, 64 * 1024, 64 * 1024 + 1, 300_000])("reads all of its %i bytes", async (length) => {
    const content = Buffer.alloc(length, "0123456789");
    writeFileSync(path.join(directory, "file"), content);
    expect((await read("file")).equals(content)).toBe(true);
  });

  it("refuses a folder with the system's error, and a file that is too large", async () => {
    await expect(read(".")).rejects.toMatchObject({ code: "EISDIR" });
    writeFileSync(path.join(directory, "file"), "12345");
    await expect(read("file", 4)).rejects.toThrow("it has 5 bytes, expected at most 4");
  });
});

describe("a call on a path from a caller", () => {
  it("is refused with the name of its field when the file system does not answer, and a late result is released", async () => {
    const clock = new ManualClock();
    const answer = Promise.withResolvers<number>();
    const late: number[] = [];
    const call = callFileSystem(
      "file /far",
      () => answer.promise,
      (value) => late.push(value),
      { clock },
    );
    const refused = expect(call).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: `file /far: its file system did not answer within ${longestFileCall} ms`,
    });
    await clock.advance(longestFileCall);
    await refused;
    answer.resolve(7);
    await expect.poll(() => late).toEqual([7]);
  });

  it("is refused at once while the same call is unanswered, and no other call is", async () => {
    const clock = new ManualClock();
    const answer = Promise.withResolvers<number>();
    const ask = (subject: string, call: () => Promise<number>): Promise<number> =>
      callFileSystem(subject, call, () => {}, { clock });
    const first = expect(ask("/far", () => answer.promise)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await clock.advance(longestFileCall);
    await first;
    let calls = 0;
    const next = async (): Promise<number> => ++calls;
    await expect(ask("/far", next)).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: "/far: an earlier call on its file system is still unanswered",
    });
    expect(calls).toBe(0);
    expect(await ask("/near", next)).toBe(1);
    answer.resolve(7);
    await expect.poll(() => ask("/far", next).catch(() => 0)).toBe(2);
  });

  it("names the calls that hold it up when it got no turn in time", async () => {
    const clock = new ManualClock();
    const answer = Promise.withResolvers<void>();
    const held = Array.from({ length: mostCallsAtOnce }, (_, index) =>
      callFileSystem(
        `/far/${index}`,
        () => answer.promise,
        () => {},
        { clock },
      ).catch(() => {}),
    );
    await clock.advance(longestFileCall);
    await Promise.all(held);
    const near = callFileSystem(
      "/near",
      async () => {},
      () => {},
      { clock },
    );
    const refused = expect(near).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringMatching(/^\/near: still queued after 5000 ms, unanswered calls: \/far\/0, /),
    });
    await clock.advance(longestFileCall);
    await refused;
    answer.resolve();
    await expect
      .poll(() =>
        callFileSystem(
          "/near",
          async () => 1,
          () => {},
          { clock },
        ),
      )
      .toBe(1);
  });

  it("succeeds however many paths of another file system do not answer", async () => {
    const clock = new ManualClock();
    const answer = Promise.withResolvers<void>();
    const held = Array.from({ length: 3 * mostCallsAtOnce }, (_, index) =>
      callFileSystem(
        `/proc/far/${index}`,
        () => answer.promise,
        () => {},
        { clock },
      ).catch(() => {}),
    );
    const near = (): Promise<number> =>
      callFileSystem(
        directory,
        async () => 1,
        () => {},
        { clock },
      );
    expect(await near()).toBe(1);
    await clock.advance(longestFileCall);
    await Promise.all(held);
    expect(await near()).toBe(1);
    answer.resolve();
  });

  itWith("Linux")("succeeds however many paths of four other file systems do not answer", async () => {
    const clock = new ManualClock();
    const answer = Promise.withResolvers<void>();
    const ask = <T>(file: string, call: () => Promise<T>): Promise<T> =>
      callFileSystem(file, call, () => {}, { clock });
    for (const far of ["/proc", "/sys", "/dev", "/dev/pts"]) {
      const held = Array.from({ length: mostCallsAtOnce }, (_, index) =>
        ask(`${far}/far/${index}`, () => answer.promise).catch(() => {}),
      );
      await clock.advance(longestFileCall);
      await Promise.all(held);
    }
    expect(await ask(directory, async () => 1)).toBe(1);
    answer.resolve();
  });

  it("runs beside a few others, and not at all when given up before its turn", async () => {
    const clock = new ManualClock();
    const answers = Array.from({ length: mostCallsAtOnce }, () => Promise.withResolvers<void>());
    const held = answers.map(({ promise }) =>
      callFileSystem(
        "held",
        () => promise,
        () => {},
        { clock },
      ),
    );
    const giveUp = new AbortController();
    let calls = 0;
    const next = async (): Promise<number> => ++calls;
    const givenUp = callFileSystem("given up", next, () => {}, { clock, signal: giveUp.signal });
    const last = callFileSystem("last", next, () => {}, { clock });
    giveUp.abort(new Error("no longer"));
    await expect(givenUp).rejects.toThrow("no longer");
    expect(calls).toBe(0);
    for (const { resolve } of answers) resolve();
    await Promise.all(held);
    expect(await last).toBe(1);
  });

  it("opens and returns what was opened", async () => {
    const { descriptor, kind } = await openNamed("stdout", directory, 0, { clock: new ManualClock() });
    expect(kind.isDirectory()).toBe(true);
    expect(fstatSync(descriptor).ino).toBe(kind.ino);
    closeSync(descriptor);
  });
});
