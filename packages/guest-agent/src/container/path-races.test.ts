/** Files that a container replaces between the agent's check and its use. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sharedFoldersOf } from "../pods/shared-folders.ts";
import { OutputCopy } from "../process/output-copy.ts";
import { removeFolder } from "../storage/mount-points.ts";
import { makeFoldersInRoot, makeMountPoints } from "./path-in-root.ts";
import { checkProgram } from "./program.ts";
import { withUserOf } from "./users.ts";

/** Called after each stat, with the inode, and after a folder was made. */
const moment = vi.hoisted((): { pass: (inode: number | undefined) => void } => ({ pass: () => {} }));

vi.mock("node:fs", async (original) => {
  const actual = await original<typeof import("node:fs")>();
  const looking =
    <A extends unknown[], S>(look: (...parameters: A) => S) =>
    (...parameters: A): S => {
      const stats = look(...parameters);
      moment.pass((stats as { readonly ino?: number } | undefined)?.ino);
      return stats;
    };
  const { lstatSync: lstat, statSync: stat, fstatSync: fstat, mkdirSync: mkdir } = actual;
  return {
    ...actual,
    lstatSync: looking(lstat),
    statSync: looking(stat),
    fstatSync: looking(fstat),
    mkdirSync: looking(mkdir),
  };
});

let folder: string;
let root: string;
let outside: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exchanged-"));
  root = join(folder, "root");
  outside = join(folder, "outside");
  for (const path of [root, outside, join(root, "bin"), join(root, "etc")]) mkdirSync(path);
});
afterEach(() => {
  moment.pass = () => {};
  rmSync(folder, { recursive: true, force: true });
});

/** Replaces a path after the given number of stats of it. */
function exchange(path: string, make: () => void, looks = 1): void {
  const { ino } = lstatSync(path);
  let count = 0;
  exchangeWhen((seen) => seen === ino && ++count === looks, path, make);
}

function exchangeWhen(isTime: (seen: number | undefined) => boolean, path: string, make: () => void): void {
  moment.pass = (seen) => {
    if (!isTime(seen)) return;
    moment.pass = () => {};
    rmSync(path, { recursive: true });
    make();
  };
}

function foreignProgram(): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(183, 18);
  return header;
}

describe("a path that is replaced after a check", () => {
  const check = () => checkProgram(root, { args: ["/bin/program"], cwd: "/" }, "x64");

  it("by a FIFO: the program that was found is read, and the FIFO is not opened", () => {
    const program = join(root, "bin/program");
    writeFileSync(program, foreignProgram(), { mode: 0o755 });
    let held: number | undefined;
    exchange(program, () => {
      execFileSync("mkfifo", [program]);
      // Otherwise a wrong open would block for ever.
      held = openSync(program, constants.O_RDWR | constants.O_NONBLOCK);
    });
    try {
      expect(check).toThrow("/bin/program was built for AArch64");
      expect(held, "exchanged").toBeDefined();
    } finally {
      if (held !== undefined) closeSync(held);
    }
  });

  it("by a link: no program outside the root is read", () => {
    const program = join(root, "bin/program");
    const other = join(outside, "program");
    writeFileSync(other, foreignProgram(), { mode: 0o755 });
    writeFileSync(program, "no program\n", { mode: 0o755 });
    exchange(program, () => symlinkSync(other, program));
    expect(check).toThrow("exec format error");
    expect(lstatSync(program).isSymbolicLink(), "exchanged").toBe(true);
  });

  it("by a link: no passwd file outside the root is read", () => {
    const passwd = join(root, "etc/passwd");
    writeFileSync(passwd, "app:x:1001:1002::/:/bin/sh\n");
    writeFileSync(join(outside, "passwd"), "app:x:0:0::/:/bin/sh\n");
    exchange(passwd, () => symlinkSync(join(outside, "passwd"), passwd));
    const { user } = withUserOf(root, { cwd: "/", user: { uid: 0, gid: 0, username: "app" } });
    expect(user).toEqual({ uid: 1001, gid: 1002 });
    expect(lstatSync(passwd).isSymbolicLink(), "exchanged").toBe(true);
  });

  it("by a link: no folder is made outside the root", () => {
    const place = join(root, "work");
    mkdirSync(place);
    // The first stat finds the folder, the second checks for a link.
    exchange(place, () => symlinkSync(outside, place), 2);
    makeFoldersInRoot(root, "/work/deep");
    expect(lstatSync(place).isSymbolicLink(), "exchanged").toBe(true);
    expect(readdirSync(outside)).toEqual([]);
  });

  it("by a link: no mode is changed outside the root", () => {
    const place = join(root, "memory");
    const before = lstatSync(outside).mode;
    // mkdir reports no inode.
    exchangeWhen(
      (seen) => seen === undefined && existsSync(place),
      place,
      () => symlinkSync(outside, place),
    );
    makeMountPoints(root, [{ destination: "/memory", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] }]);
    expect(lstatSync(place).isSymbolicLink(), "exchanged").toBe(true);
    expect(lstatSync(outside).mode).toBe(before);
  });

  it("by a link: nothing outside the removed folder is removed", async () => {
    const inner = join(root, "inner");
    mkdirSync(inner);
    writeFileSync(join(outside, "kept"), "kept");
    exchange(inner, () => symlinkSync(outside, inner));
    await removeFolder(root);
    expect(existsSync(root)).toBe(false);
    expect(readFileSync(join(outside, "kept"), "utf8")).toBe("kept");
  });

  it("by a link: no shared folder of the pod is made outside", () => {
    const places = sharedFoldersOf(root);
    const shared = places.shared("mounts", "one", "source");
    exchange(shared, () => symlinkSync(outside, shared));
    expect(() => places.shared("mounts", "one/two", "source")).toThrow(/^source: cannot use "one\/two"/);
    expect(lstatSync(shared).isSymbolicLink(), "exchanged").toBe(true);
    expect(readdirSync(outside)).toEqual([]);
  });
});

describe("a path that is replaced after the container was created", () => {
  it("by a link: the output is not copied through it", () => {
    symlinkSync(outside, join(root, "logs"));
    expect(() => new OutputCopy({ folder: root, file: "logs/out" })).toThrow(/logs\/out: .*ENOENT/);
    expect(readdirSync(outside)).toEqual([]);
  });
});
