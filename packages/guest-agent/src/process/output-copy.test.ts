import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { finished } from "node:stream/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OutputCopy } from "./output-copy.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "guest-output-copy-"));
  path = join(directory, "log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("the copy of an output", () => {
  it("is appended to a file", async () => {
    writeFileSync(path, "before\n");
    const source = new PassThrough();
    new OutputCopy({ folder: directory, file: "log" }).follow(source);
    source.end("after\n");
    await finished(source);
    await expect.poll(() => readFileSync(path, "utf8")).toBe("before\nafter\n");
  });

  it.each([
    ["a FIFO without a reader", () => void execFileSync("mkfifo", [path]), "ENXIO"],
    ["a folder", () => mkdirSync(path), "EISDIR"],
    ["a link", () => symlinkSync(join(directory, "elsewhere"), path), "ELOOP"],
  ])("is refused without waiting if the path is %s", (_, make, why) => {
    make();
    const open = (): OutputCopy => new OutputCopy({ folder: directory, file: "log" });
    expect(open).toThrow(expect.objectContaining({ hresultName: "E_INVALIDARG" }));
    expect(open).toThrow(`cannot copy the output to ${path}: ${why}`);
  });

  it("is refused if the path is a FIFO with a reader", () => {
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      expect(() => new OutputCopy({ folder: directory, file: "log" })).toThrow(
        `cannot copy the output to ${path}: expected a regular file`,
      );
    } finally {
      closeSync(reader);
    }
  });
});
