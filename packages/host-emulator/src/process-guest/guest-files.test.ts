import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeGuestFile, writeGuestFile } from "./guest-files.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "guest-files-"));
  path = join(folder, "file");
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a file that the host writes into a guest", () => {
  it("is made, or overwritten", () => {
    makeGuestFile(path);
    writeGuestFile(path, "longer\n");
    writeGuestFile(path, "new\n");
    makeGuestFile(path);
    expect(readFileSync(path, "utf8")).toBe("new\n");
  });

  it.each([
    ["made", makeGuestFile],
    ["written", (place: string) => writeGuestFile(place, "x")],
  ])("is not waited for if a container put a FIFO in its place, when it is %s", (_, act) => {
    execFileSync("mkfifo", [path]);
    expect(() => act(path)).toThrow("ENXIO");
  });

  it.each([
    ["made", makeGuestFile],
    ["written", (place: string) => writeGuestFile(place, "x")],
  ])("is not followed through a container's link, when it is %s", (_, act) => {
    const other = join(folder, "other");
    writeFileSync(other, "kept");
    symlinkSync(other, path);
    expect(() => act(path)).toThrow("ELOOP");
    symlinkSync(join(folder, "absent"), join(folder, "dangling"));
    expect(() => act(join(folder, "dangling"))).toThrow("ELOOP");
    expect(readFileSync(other, "utf8")).toBe("kept");
    expect(readdirSync(folder)).toEqual(["dangling", "file", "other"]);
  });
});
