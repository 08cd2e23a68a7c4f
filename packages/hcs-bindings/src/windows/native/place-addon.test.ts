import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostError } from "../../host-error.ts";
import { placeAddon } from "./place-addon.ts";

describe("the addon of an executable", () => {
  const addon = Buffer.from("a library");
  let folder: string;
  let executable: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "uvm-addon-"));
    executable = path.join(folder, "shim.exe");
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is written beside it once, under a name derived from its content", () => {
    const file = placeAddon(addon, executable);
    expect(path.dirname(file)).toBe(folder);
    expect(readFileSync(file)).toEqual(addon);
    expect(placeAddon(addon, executable)).toBe(file);
    expect(placeAddon(Buffer.from("another"), executable)).not.toBe(file);
    expect(readdirSync(folder)).toHaveLength(2);
  });

  it("replaces a file with other content", () => {
    const file = placeAddon(addon, executable);
    writeFileSync(file, "a trap!!!");
    expect(placeAddon(addon, executable)).toBe(file);
    expect(readFileSync(file)).toEqual(addon);
  });

  it("is named in the error if it cannot be written, and leaves nothing behind", () => {
    const file = placeAddon(addon, executable);
    rmSync(file);
    mkdirSync(file);
    expect(() => placeAddon(addon, executable)).toThrow(HostError);
    expect(() => placeAddon(addon, executable)).toThrow(file);
    expect(readdirSync(folder)).toEqual([path.basename(file)]);
  });
});
