import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fileSink } from "./log-file.ts";

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "log-file-"));
  file = path.join(directory, "lcow.log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const text = (of: string): string => readFileSync(of, "utf8");

describe("a log in a file", () => {
  it("goes on where an earlier process ended, and nobody else reads it", () => {
    fileSink(file).write(Buffer.from("one\n"));
    fileSink(file).write(Buffer.from("two\n"));
    expect(text(file)).toBe("one\ntwo\n");
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("keeps one older file, of bounded size", () => {
    const sink = fileSink(file, 8);
    for (const line of ["first\n", "second\n", "third\n", "fourth\n"]) sink.write(Buffer.from(line));
    expect([text(`${file}.1`), text(file)]).toEqual(["first\nsecond\n", "third\nfourth\n"]);
    fileSink(file, 8).write(Buffer.from("fifth\n"));
    expect([text(`${file}.1`), text(file)]).toEqual(["third\nfourth\n", "fifth\n"]);
  });

  it("drops the lines that it cannot write", () => {
    const sink = fileSink(file, 4);
    sink.write(Buffer.from("full\n"));
    rmSync(directory, { recursive: true });
    expect(() => sink.write(Buffer.from("lost\n"))).not.toThrow();
  });
});
