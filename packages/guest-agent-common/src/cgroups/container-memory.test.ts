import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerMemoryOf, limitContainerMemory } from "./container-memory.ts";

const mebibyte = 2 ** 20;
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "memory-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("the memory of all containers", () => {
  it.each([
    [1024, 949],
    [256, 181],
    [100, 50],
  ])("is, of %d MiB, all but the guest's own share: %d", (total, left) => {
    expect(containerMemoryOf(total * mebibyte)).toBe(left * mebibyte);
  });

  it("is a multiple of the page size", () => {
    expect(containerMemoryOf(8191 * 3) % 4096).toBe(0);
  });

  it.each([
    ["256 MiB", String(256 * mebibyte), 181],
    ["no limit", "9223372036854771712", 437],
  ])("is derived from the limit of the guest's cgroup in version 1: %s", (_what, own, left) => {
    mkdirSync(join(root, "memory"));
    writeFileSync(join(root, "memory", "memory.limit_in_bytes"), `${own}\n`);
    expect(limitContainerMemory(root, "/containers", 512 * mebibyte)).toBe(left * mebibyte);
    const file = join(root, "memory/containers/memory.limit_in_bytes");
    expect(readFileSync(file, "utf8")).toBe(String(left * mebibyte));
  });

  it.each([
    ["256 MiB", String(256 * mebibyte), 181],
    ["no limit", "max", 437],
    ["the root cgroup of a machine, which has no limit file", undefined, 437],
  ])("is derived from the limit of the guest's cgroup in version 2: %s", (_what, own, left) => {
    writeFileSync(join(root, "cgroup.controllers"), "cpu memory\n");
    if (own !== undefined) writeFileSync(join(root, "memory.max"), `${own}\n`);
    expect(limitContainerMemory(root, "/containers", 512 * mebibyte)).toBe(left * mebibyte);
    expect(readFileSync(join(root, "containers/memory.max"), "utf8")).toBe(String(left * mebibyte));
  });

  it("is not limited on a kernel without the memory controller", () => {
    expect(limitContainerMemory(root, "/containers", 512 * mebibyte)).toBeUndefined();
    writeFileSync(join(root, "cgroup.controllers"), "cpu\n");
    expect(limitContainerMemory(root, "/containers", 512 * mebibyte)).toBeUndefined();
    expect(existsSync(join(root, "containers"))).toBe(false);
  });
});
