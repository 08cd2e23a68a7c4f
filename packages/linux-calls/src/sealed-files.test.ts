import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, readFileSync, writeSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { sealedCopy } from "./index.ts";

const made: number[] = [];

function copyOf(path: string): number {
  const descriptor = sealedCopy(path);
  made.push(descriptor);
  return descriptor;
}

afterEach(() => {
  for (const descriptor of made.splice(0)) closeSync(descriptor);
});

describe("a sealed copy", () => {
  it("has the bytes of the file, and cannot be changed", () => {
    const descriptor = copyOf("/bin/sh");
    expect(readFileSync(`/proc/self/fd/${descriptor}`).equals(readFileSync("/bin/sh"))).toBe(true);
    expect(() => writeSync(descriptor, "x", 0)).toThrow("EPERM");
    expect(() => ftruncateSync(descriptor, 1)).toThrow("EPERM");
  });

  it("can be executed, and is not inherited", () => {
    const descriptor = copyOf("/bin/sh");
    const script = `[ -e /proc/self/fd/${descriptor} ] && echo inherited; readlink /proc/$$/exe`;
    const { stdout } = spawnSync(`/proc/self/fd/${descriptor}`, ["-c", script], { argv0: "sh", encoding: "utf8" });
    expect(stdout).toMatch(/^\/memfd:sh/);
  });

  it("fails with the system's error where the file does not exist", () => {
    expect(() => sealedCopy("/nonexistent/program")).toThrow("ENOENT");
  });
});
