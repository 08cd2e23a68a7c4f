import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { serveVersion } from "../testing/version-server.ts";
import { sparesCompletedPods } from "./containerd-version.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-version-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("a completed pod without a shim", () => {
  it.each([
    ["v2.3.4", true],
    ["2.1.9+ds1", true],
    ["v2.1.0", true],
    ["v2.10.0-dev", true],
    ["3.0.0", true],
    ["v2.0.11", false],
    ["1.7.24", false],
    ["dev", false],
  ])("with containerd %s is told right: %s", async (version, expected) => {
    const socket = path.join(directory, "containerd.sock");
    const close = await serveVersion(socket, version);
    expect(await sparesCompletedPods(socket)).toBe(expected);
    await close();
  });

  it("is not attempted when containerd does not answer", async () => {
    expect(await sparesCompletedPods(path.join(directory, "nobody.sock"))).toBe(false);
    expect(await sparesCompletedPods("")).toBe(false);
  });
});
