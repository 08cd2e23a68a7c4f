import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Canaries } from "./canaries.ts";

it.each([
  ["as it is", (text: string) => `x${text}y`],
  ...[0, 1, 2, 3].map(
    (before) => [`in base64 after ${before} bytes`, (text: string) => btoa(`${"s".repeat(before)}${text}z`)] as const,
  ),
  ["in hexadecimal digits", (text: string) => Buffer.from(text).toString("hex")],
  ["in JSON", (text: string) => JSON.stringify(JSON.stringify({ token: `"${text}"` }))],
  ["percent-encoded", (text: string) => encodeURIComponent(`?${text}&`)],
] as const)("finds a canary %s, and no other", (_, encode) => {
  const canaries = new Canaries();
  canaries.at("other");
  expect(canaries.in(Buffer.from(encode(canaries.at("environment"))))).toEqual(["environment"]);
});

it("finds them in the files of a folder that are looked at", () => {
  const folder = mkdtempSync(join(tmpdir(), "canaries-"));
  try {
    const canaries = new Canaries();
    mkdirSync(join(folder, "a"));
    for (const name of ["log", "config.json"]) writeFileSync(join(folder, "a", name), canaries.at("policy"));
    expect(canaries.below(folder, (file) => !file.endsWith("config.json"))).toEqual([`${folder}/a/log: policy`]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
