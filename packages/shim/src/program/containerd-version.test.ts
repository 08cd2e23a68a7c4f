import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
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
  ])("is spared with containerd %s: %s", async (version, expected) => {
    const socket = path.join(directory, "containerd.sock");
    const close = await serveVersion(socket, version);
    expect(await sparesCompletedPods(socket)).toBe(expected);
    await close();
  });

  it.each([
    ["closes the connection", Buffer.alloc(0)],
    ["resets the stream", Buffer.of(0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2)],
    ["does not speak HTTP/2", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["answers without end", Buffer.alloc(70_000)],
  ])("is not attempted with a server that %s", async (_, answer) => {
    const socket = path.join(directory, "containerd.sock");
    const server = net.createServer((connection) => {
      connection.on("error", () => {});
      connection.once("data", () => connection.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    expect(await sparesCompletedPods(socket)).toBe(false);
    await new Promise((resolve) => server.close(resolve));
  });

  it("is not attempted when containerd does not answer", async () => {
    expect(await sparesCompletedPods(path.join(directory, "nobody.sock"))).toBe(false);
    expect(await sparesCompletedPods("")).toBe(false);
  });
});
