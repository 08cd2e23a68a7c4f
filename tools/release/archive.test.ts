import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packTar, packZip } from "./archive.ts";
import { checksums } from "./main.ts";

const date = new Date("2026-02-03T04:05:06Z");

/** A folder to pack, whose files were made in an order and at times of their own. */
function folderToPack(names: readonly string[], time: number): string {
  const folder = join(mkdtempSync(join(tmpdir(), "pack-")), "thing-1.0");
  mkdirSync(join(folder, "lib"), { recursive: true });
  for (const name of names) {
    writeFileSync(join(folder, name), `content of ${name}`);
    utimesSync(join(folder, name), time, time);
  }
  chmodSync(join(folder, "run"), 0o755 & ~process.umask());
  return folder;
}

const archivePath = (ending: string): string => join(mkdtempSync(join(tmpdir(), "archive-")), `archive.${ending}`);

describe.each([
  ["tar.gz", packTar],
  ["zip", packZip],
] as const)("an archive of the form %s", (ending, pack) => {
  it("has the same bytes whatever the order, times and owner's mask of its files", async () => {
    const [first, second] = [archivePath(ending), archivePath(ending)];
    await pack(folderToPack(["run", "lib/a", "lib/B"], 1000), first, date);
    const umask = process.umask(0o077);
    await pack(folderToPack(["lib/B", "lib/a", "run"], 2000), second, date).finally(() => process.umask(umask));
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true);
  });
});

it("files in a tar archive are root's, with their modes and the release's time", async () => {
  const archive = archivePath("tar.gz");
  await packTar(folderToPack(["run", "lib/a"], 1000), archive, date);
  const listed = execFileSync("tar", ["-tvzf", archive], { encoding: "utf8", env: { ...process.env, TZ: "UTC" } });
  const files = listed.split("\n").filter((line) => line.startsWith("-"));
  expect(files.map((line) => line.replaceAll(/ +/g, " "))).toEqual([
    "-rw-r--r-- 0/0 16 2026-02-03 04:05 thing-1.0/lib/a",
    "-rwxr-xr-x 0/0 14 2026-02-03 04:05 thing-1.0/run",
  ]);
});

describe("checksums", () => {
  it("are those that sha256sum checks, without those of their own file", () => {
    const folder = folderToPack(["run"], 1000);
    writeFileSync(join(folder, "SHA256SUMS"), "");
    const ofFiles = checksums(folder);
    writeFileSync(join(folder, "SHA256SUMS"), ofFiles);
    expect(execFileSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: folder, encoding: "utf8" })).toBe(
      "run: OK\n",
    );
  });
});
