import { spawnSync } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { type CpioEntry, cpioArchive } from "./cpio.ts";

const entries = new Map<string, CpioEntry>([
  ["bin", { kind: "folder" }],
  ["bin/program", { kind: "file", content: Buffer.from("#!/bin/sh\n"), mode: 0o755 }],
  ["bin/other", { kind: "link", target: "program" }],
  ["console", { kind: "device", major: 5, minor: 1 }],
  ["text", { kind: "file", content: Buffer.from("x") }],
]);

it("has the same bytes for the same entries, in whatever order they come", () => {
  const archive = cpioArchive(entries);
  expect(cpioArchive(new Map([...entries].reverse())).equals(archive)).toBe(true);
  expect(archive.length % 512).toBe(0);
  // magic, inode, mode, owner, group, links, time, size, device of the file, its own numbers, length of the name, sum
  const head = archive.toString("latin1", 0, 116);
  expect(head).toBe(
    `070701${"00000001"}${"000041ed"}${"00000000".repeat(2)}${"00000002"}${"00000000".repeat(6)}${"00000004"}${"00000000"}bin\0\0\0`,
  );
});

it("refuses an entry whose folder it does not have", () => {
  expect(() => cpioArchive(new Map([["a/b", { kind: "folder" }]]))).toThrow("the archive has a/b, and no folder a");
});

itWith("is what cpio unpacks", "busybox")("is what cpio unpacks", () => {
  const folder = mkdtempSync(join(tmpdir(), "boot-files-"));
  const input = cpioArchive(new Map([...entries].filter(([, { kind }]) => kind !== "device")));
  const unpacked = spawnSync("busybox", ["cpio", "-i"], { cwd: folder, input, encoding: "utf8" });
  expect(unpacked.status).toBe(0);
  expect(lstatSync(join(folder, "bin/program")).mode & 0o7777).toBe(0o755);
  expect(lstatSync(join(folder, "text")).mode & 0o7777).toBe(0o644);
  expect(readFileSync(join(folder, "bin/program"), "utf8")).toBe("#!/bin/sh\n");
  expect(readlinkSync(join(folder, "bin/other"))).toBe("program");
});
