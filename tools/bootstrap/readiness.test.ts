import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { Readiness } from "./readiness.mjs";
import { isSettled } from "./snapshot.mjs";

const parts = {
  sources: { folders: ["sources"], files: ["manifest", "absent"], without: ["dist"] },
  results: { folders: ["results"], files: [], without: ["cache"] },
};

describe("a command is ready", () => {
  let root: string;
  let makings: number;
  const path = (name: string): string => join(root, name);
  const readiness = (key = "key"): Readiness => new Readiness(root, path("ready"), key);
  const put = (name: string, text: string): void => {
    mkdirSync(join(path(name), ".."), { recursive: true });
    writeFileSync(path(name), text);
  };
  const make = (): Promise<boolean> => {
    makings += 1;
    put("results/program", readFileSync(path("sources/deep/a.ts"), "utf8"));
    return Promise.resolve(true);
  };
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "readiness-"));
    makings = 0;
    put("sources/deep/a.ts", "one");
    put("sources/b.ts", "two");
    put("sources/dist/c.js", "three");
    put("manifest", "four");
    put("results/cache/a", "five");
  });

  it("as long as nothing is another than when it was made", async () => {
    expect(readiness().isReady()).toBe(false);
    await readiness().ensure(parts, make);
    expect({ isReady: readiness().isReady(), makings }).toEqual({ isReady: true, makings: 1 });
    put("sources/dist/c.js", "built");
    put("results/cache/a", "compiled");
    expect(readiness().isReady()).toBe(true);
  });

  const changes: readonly (readonly [string, () => void])[] = [
    ["a source is edited", () => put("sources/deep/a.ts", "one, and more")],
    ["a source is another of the same size", () => put("sources/deep/a.ts", "eno")],
    [
      "a source is another of the same size and time",
      () => {
        const { atime, mtime } = statSync(path("sources/deep/a.ts"));
        put("sources/deep/a.ts", "eno");
        utimesSync(path("sources/deep/a.ts"), atime, mtime);
      },
    ],
    [
      "a source is replaced by a file of its size and time",
      () => {
        const { atime, mtime } = statSync(path("sources/deep/a.ts"));
        put("new", "eno");
        utimesSync(path("new"), atime, mtime);
        renameSync(path("new"), path("sources/deep/a.ts"));
      },
    ],
    ["a source is removed", () => rmSync(path("sources/b.ts"))],
    ["a source comes", () => put("sources/deep/e.ts", "")],
    ["a folder of sources goes", () => rmSync(path("sources"), { recursive: true })],
    ["a file comes that there was not", () => put("absent", "")],
    ["a manifest is edited", () => put("manifest", "fuor")],
    ["a result is removed", () => rmSync(path("results/program"))],
    ["a result is replaced", () => put("results/program", "???")],
    ["what is remembered is damaged", () => put("ready", '{"key":"key"')],
  ];
  it.each(changes)("until %s", async (_, change) => {
    await readiness().ensure(parts, make);
    change();
    expect(readiness().isReady()).toBe(false);
  });

  it("for the same key only", async () => {
    await readiness("a commit").ensure(parts, make);
    expect(readiness("another commit").isReady()).toBe(false);
  });

  it("not when it could not be made, whatever it was before", async () => {
    await readiness().ensure(parts, make);
    await readiness().ensure(parts, () => Promise.resolve(false));
    expect(readiness().isReady()).toBe(false);
    await expect(readiness().ensure(parts, () => Promise.reject(new Error("full")))).rejects.toThrow("full");
    expect(readiness().isReady()).toBe(false);
  });

  it("of the last sources, when they are edited while it is made", async () => {
    await readiness().ensure(parts, async () => {
      await make();
      if (makings === 1) put("sources/deep/a.ts", "edited");
      return true;
    });
    expect({ isReady: readiness().isReady(), makings }).toEqual({ isReady: true, makings: 2 });
    expect(readFileSync(path("results/program"), "utf8")).toBe("edited");
  });

  it("not when they are edited each time that it is made", async () => {
    await readiness().ensure(parts, async () => {
      await make();
      put("sources/deep/a.ts", `edited ${makings}`);
      return true;
    });
    expect(readiness().isReady()).toBe(false);
  });
});

it("files whose time is now or later are not settled, since a further change may leave the same time", () => {
  const now = Date.now();
  expect(isSettled([["a", now - 1000, 1, 1], ["absent"]], now)).toBe(true);
  expect(isSettled([["a", now - 1, 1, 1]], now)).toBe(false);
  expect(isSettled([["a", now + 60_000, 1, 1]], now)).toBe(false);
});
