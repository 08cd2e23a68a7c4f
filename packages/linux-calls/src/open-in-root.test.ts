import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { O_PATH, openInRoot } from "./open-in-root.ts";

let folder: string;
let root: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "open-in-root-"));
  mkdirSync(join(folder, "root/etc"), { recursive: true });
  writeFileSync(join(folder, "root/etc/name"), "inside");
  writeFileSync(join(folder, "name"), "outside");
  root = openSync(join(folder, "root"), O_PATH | constants.O_DIRECTORY);
});
afterEach(() => {
  closeSync(root);
  rmSync(folder, { recursive: true });
});

function inodeAt(path: string): number {
  const place = openInRoot(root, path, O_PATH);
  try {
    return fstatSync(place).ino;
  } finally {
    closeSync(place);
  }
}

describe("openInRoot", () => {
  it("follows absolute paths, links and .. as a process with the folder as its root does", () => {
    symlinkSync("/etc/name", join(folder, "root/absolute"));
    symlinkSync("../../../name", join(folder, "root/etc/upwards"));
    const inside = statSync(join(folder, "root/etc/name")).ino;
    for (const path of ["etc/name", "/etc/name", "../etc/../../etc/name", "absolute"]) {
      expect(inodeAt(path), path).toBe(inside);
    }
    expect(inodeAt("/..")).toBe(statSync(join(folder, "root")).ino);
    expect(() => inodeAt("etc/upwards")).toThrow(expect.objectContaining({ code: "ENOENT", call: "openat2" }));
  });

  it("does not follow the kernel's magic links, which lead anywhere", () => {
    const top = openSync("/", O_PATH | constants.O_DIRECTORY);
    try {
      expect(() => openInRoot(top, "proc/self/root/etc", O_PATH)).toThrow(expect.objectContaining({ code: "ELOOP" }));
    } finally {
      closeSync(top);
    }
  });
});
