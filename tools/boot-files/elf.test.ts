import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isElf, linkageOf, withoutUnloadedSections } from "./elf.ts";
import { elfFile } from "./elf-files.ts";

it("reads the loader and the libraries of a program", () => {
  const linkage = { loader: "/lib64/ld.so", libraries: ["liba.so.1", "libb.so.2"] };
  expect(linkageOf(elfFile(linkage))).toEqual(linkage);
  expect(linkageOf(elfFile({ libraries: ["libc.so.6"] }))).toEqual({ loader: undefined, libraries: ["libc.so.6"] });
  expect(linkageOf(readFileSync(process.execPath)).libraries).toContain("libatomic.so.1");
  expect([isElf(elfFile({})), isElf(Buffer.from("#!/bin/sh\n"))]).toEqual([true, false]);
});

it("cuts off what is not loaded, and the program runs as before", () => {
  const whole = readFileSync(realpathSync("/bin/sh"));
  const program = join(mkdtempSync(join(tmpdir(), "boot-files-")), "sh");
  const cut = withoutUnloadedSections(whole);
  writeFileSync(program, cut);
  chmodSync(program, 0o755);
  expect(cut.length).toBeLessThan(whole.length);
  expect(linkageOf(cut)).toEqual(linkageOf(whole));
  expect(spawnSync(program, ["-c", "echo runs"], { encoding: "utf8" })).toMatchObject({ status: 0, stdout: "runs\n" });
});
