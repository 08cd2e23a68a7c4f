import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mountOwn, removeFolder, unmountAll } from "./mount-points.ts";
import { removeAll } from "./removal.ts";

let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync("/dev/shm/removal-");
  folder = join(root, "folder");
  mkdirSync(folder);
});
afterEach(() => void execFileSync("rm", ["-rf", root]));

describe("removing what a container wrote", () => {
  itWith("folders of any depth", "python3")("reaches folders of any depth", async () => {
    // Too deep for any path: each folder is made from inside the one above.
    const script =
      "import os,sys\nos.chdir(sys.argv[1])\nfor i in range(15000):\n os.mkdir('d')\n os.chdir('d')\nopen('f','w')";
    execFileSync("python3", ["-c", script, folder]);
    const before = readdirSync("/proc/self/fd").length;
    await removeFolder(folder);
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });

  it("yields to other work between pieces", async () => {
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

  it("does not follow links", async () => {
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

describeWith("root")("a mount in what a container wrote", () => {
  it("that is made during the removal stays with its content, and all else is removed", () => {
    for (let index = 0; index < 200; index++) mkdirSync(join(folder, String(index)));
    const work = removeAll(folder);
    work.next();
    const [left] = readdirSync(folder);
    const place = join(folder, left ?? "");
    execFileSync("mount", ["-t", "tmpfs", "none", place]);
    try {
      writeFileSync(join(place, "of somebody else"), "");
      expect(() => {
        while (!work.next().done);
      }).toThrow(expect.objectContaining({ code: "EXDEV" }));
      expect(readdirSync(folder)).toEqual([left]);
      expect(readdirSync(place)).toEqual(["of somebody else"]);
    } finally {
      execFileSync("umount", [place]);
    }
  });

  it("of an image with deep folders is emptied, and named in the error", async () => {
    const [lower, upper, work, merged] = ["lower", "upper", "work", "folder/merged"].map((name) => join(root, name));
    for (const made of [lower, upper, work, merged]) mkdirSync(made as string);
    mkdirSync(join(lower as string, ...new Array<string>(40).fill("d")), { recursive: true });
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    mountOwn(
      merged as string,
      () => void execFileSync("mount", ["-t", "overlay", "none", "-o", layers, merged as string]),
    );
    try {
      await expect(removeFolder(folder)).rejects.toThrow(`cannot remove ${folder}: ${merged} is a mount`);
      expect(readdirSync(merged as string)).toEqual([]);
    } finally {
      unmountAll(merged as string, 0);
    }
  });
});
