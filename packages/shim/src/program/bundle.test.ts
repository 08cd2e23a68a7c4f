import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readConfiguration, requireConfiguration } from "./bundle.ts";

let bundle: string;
let file: string;

beforeEach(() => {
  bundle = mkdtempSync(path.join(tmpdir(), "shim-bundle-"));
  file = path.join(bundle, "config.json");
});
afterEach(() => rmSync(bundle, { recursive: true, force: true }));

describe("config.json of a bundle", () => {
  it("is read, and may be missing", async () => {
    expect(await readConfiguration(bundle)).toBeUndefined();
    await expect(requireConfiguration("/proc/x")).rejects.toThrow("/proc/x/config.json does not exist");
    writeFileSync(file, '{"annotations":{"a":"b"}}');
    expect((await requireConfiguration(bundle)).annotations).toEqual({ a: "b" });
  });

  it.each([
    ["a FIFO without a writer", () => execFileSync("mkfifo", [file])],
    ["a device without an end", () => symlinkSync("/dev/zero", file)],
  ])("is refused at once when it is %s", async (_, make) => {
    make();
    await expect(readConfiguration(bundle)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: `${file} cannot be read: it is not a regular file`,
    });
  });
});
