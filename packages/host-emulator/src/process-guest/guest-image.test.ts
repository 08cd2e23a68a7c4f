import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { findProgram, librariesIn, loaderOf, placeOf } from "./guest-image.ts";

describe("librariesIn", () => {
  it("takes the files that ldd names, each once, and the loader", () => {
    const output = [
      "/usr/bin/crun:",
      "\tlinux-vdso.so.1 (0x00007ffe4a9f2000)",
      "\tlibseccomp.so.2 => /lib/x86_64-linux-gnu/libseccomp.so.2 (0x00007f1e3c6d0000)",
      "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1e3c4ef000)",
      "\t/lib64/ld-linux-x86-64.so.2 (0x00007f1e3c7b6000)",
      "/usr/sbin/ip:",
      "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1e3c4ef000)",
      "/usr/sbin/runc:",
      "\tnot a dynamic executable",
    ].join("\n");
    expect(librariesIn(output)).toEqual([
      "/lib/x86_64-linux-gnu/libseccomp.so.2",
      "/lib/x86_64-linux-gnu/libc.so.6",
      "/lib64/ld-linux-x86-64.so.2",
    ]);
  });

  it("names a library that is missing", () => {
    expect(() => librariesIn("\tlibyajl.so.2 => not found")).toThrow(/library libyajl\.so\.2 not found/);
  });
});

describe("loaderOf", () => {
  it("reads the loader of a program that is linked dynamically", () => {
    const loader = loaderOf(readFileSync(process.execPath));
    expect(loader).toMatch(/^\/.*ld-/);
    expect(
      librariesIn(execFileSync(loader as string, ["--list", process.execPath], { encoding: "utf8" })),
    ).toContainEqual(expect.stringMatching(/\/libc\.so\.6$/));
  });

  it.each([
    ["a script", Buffer.from("#!/bin/sh\n")],
    ["an empty file", Buffer.alloc(0)],
    ["an ELF file whose headers are cut off", readFileSync(process.execPath).subarray(0, 64)],
    ["an ELF file without a loader", Buffer.concat([readFileSync(process.execPath).subarray(0, 56), Buffer.alloc(8)])],
  ])("knows none of %s", (_, file) => {
    expect(loaderOf(file)).toBeUndefined();
  });
});

describe("placeOf", () => {
  it.each([
    ["/usr/bin/crun", "usr/bin/crun"],
    ["/usr/local/bin/crun", "usr/bin/crun"],
    ["/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"],
    ["/sbin/ip", "usr/sbin/ip"],
  ])("puts %s at %s", (file, place) => {
    expect(placeOf(file)).toBe(place);
  });
});

describe("findProgram", () => {
  it("finds programs that exist, and nothing else", () => {
    expect(findProgram("sh")).toMatch(/\/sh$/);
    expect(findProgram("no-such-program")).toBeUndefined();
  });
});
