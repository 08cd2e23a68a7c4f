import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { Stamps } from "./bootstrap/stamps.mjs";
import { staleOf } from "./build-linux.ts";
import { digestSources } from "./sources.ts";
import { linuxPrograms, placesOf } from "./targets.ts";

const made = { recursive: true } as const;

describe("programs are made again", () => {
  let folder: string;
  let stamps: Stamps;
  const stale = (key: string): readonly string[] => staleOf(linuxPrograms, key, folder, stamps).map(({ name }) => name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "distribution-"));
    stamps = new Stamps(join(folder, "marks"));
    for (const name of linuxPrograms) {
      for (const place of placesOf(name)) {
        mkdirSync(dirname(join(folder, place)), made);
        writeFileSync(join(folder, place), "");
      }
      stamps.remember({ name, key: "a" });
    }
  });

  it("of other sources", () => {
    expect({ same: stale("a"), other: stale("b") }).toEqual({ same: [], other: linuxPrograms });
  });

  it("of sources to which an edit was undone, when making those of the edit was interrupted", () => {
    stamps.forget({ name: "shim-lcow" });
    expect(stale("a")).toEqual(["shim-lcow"]);
  });

  it.each([
    ["containerd-shim-wcow-v2", ["shim-wcow"]],
    ["lib/hcs-emulator.program.cjs", ["hcs-emulator"]],
    ["lib/shim-lcow.info", ["shim-lcow"]],
    ["LinuxBootFiles/initrd.img", ["guest-agent"]],
    ["lib/telemetry.cjs", ["telemetry"]],
    ["lib/node", linuxPrograms],
  ])("when %s was removed", (file, names) => {
    rmSync(join(folder, file));
    expect(stale("a")).toEqual(names);
  });
});

describe("the digest of what programs are made of", () => {
  const files = {
    "packages/a/src/deep/a.ts": "source",
    "packages/a/src/generated/messages.js": "generated",
    "packages/a/src/a.test.ts": "test",
    "packages/a/package.json": "manifest",
    "apps/b/src/b.ts": "source",
    "tools/bundle.ts": "tool",
    "package.json": "manifest",
    "pnpm-lock.yaml": "lock",
    "README.md": "text",
  };
  const without = ["packages/a/src/a.test.ts", "README.md"];

  it("changes with each of them, and with nothing else", () => {
    const before = mkdtempSync(join(tmpdir(), "sources-"));
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(before, file)), made);
      writeFileSync(join(before, file), text);
    }
    const digest = digestSources(before);
    for (const file of Object.keys(files)) {
      cpSync(join(before, file), join(before, "kept"));
      writeFileSync(join(before, file), "edited");
      expect({ file, isSame: digestSources(before) === digest }).toEqual({ file, isSame: without.includes(file) });
      cpSync(join(before, "kept"), join(before, file));
    }
    expect(digestSources(before)).toBe(digest);
  });
});
