import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removeFolder } from "./mount-points.ts";

let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync("/dev/shm/removal-");
  folder = join(root, "folder");
  mkdirSync(folder);
});
afterEach(() => void execFileSync("rm", ["-rf", root]));

describe("what a container has written is removed", () => {
  it("however deep its folders lie within each other", async () => {
    // No path leads there: each is made from within the one above.
    const script =
      "import os,sys\nos.chdir(sys.argv[1])\nfor i in range(15000):\n os.mkdir('d')\n os.chdir('d')\nopen('f','w')";
    execFileSync("python3", ["-c", script, folder]);
    const before = readdirSync("/proc/self/fd").length;
    await removeFolder(folder);
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });

  it("in pieces, between which others have their turn", async () => {
    for (let index = 0; index < 2000; index++) writeFileSync(join(folder, String(index)), "");
    let turns = 0;
    let isDone = false;
    const counting = (): void => {
      turns += 1;
      if (!isDone) setImmediate(counting);
    };
    setImmediate(counting);
    await removeFolder(folder);
    isDone = true;
    expect(existsSync(folder)).toBe(false);
    expect(turns).toBeGreaterThan(20);
  });

  it("and nothing that its links lead to", async () => {
    const kept = join(root, "kept");
    mkdirSync(kept);
    writeFileSync(join(kept, "file"), "");
    symlinkSync(kept, join(folder, "link"));
    symlinkSync(kept, join(root, "top"));
    await removeFolder(folder);
    await removeFolder(join(root, "top"));
    expect(readdirSync(root)).toEqual(["kept"]);
    expect(readdirSync(kept)).toEqual(["file"]);
  });
});
