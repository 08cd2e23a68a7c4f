import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, expect, it, vi } from "vitest";
import { debianTree, type Run } from "./debian-tree.ts";

vi.mock("../../test/src/debian/apt.ts", () => ({
  aptOptions: (work: string) => {
    mkdirSync(join(work, "cache", "archives"), { recursive: true });
    return ["-o", `work=${work}`];
  },
}));

let cache: string;
let lines: string[];
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "debian-tree-"));
  lines = [];
});

const wanted = { name: "guest", whole: ["crun"], alone: ["tool"], behind: ["linux-image-amd64"] };

/** apt and dpkg-deb, which "unpacks" one file of each package. */
function fakeRun(answers: (line: string) => Error | undefined = () => undefined): Run {
  return async (command, args, options) => {
    const words = args.filter((_, index) => args[index] !== "-o" && args[index - 1] !== "-o");
    const line = [command, ...words].join(" ");
    lines.push(line);
    const answer = answers(line);
    if (answer !== undefined) throw answer;
    const work = args.find((word) => word.startsWith("work="))?.slice("work=".length) ?? "";
    if (command === "apt-cache")
      return "Package: linux-image-amd64\nDepends: linux-image-6.1.0-50-amd64 (= 6.1.176-1)\n";
    if (line.includes("--download-only")) {
      for (const name of ["libc6", "crun"]) writeFileSync(join(work, "cache", "archives", `${name}_1_amd64.deb`), "");
    }
    if (line.startsWith("apt-get download")) {
      for (const name of words.slice(2)) writeFileSync(join(options?.directory ?? "", `${name}_2_amd64.deb`), "");
    }
    if (command === "dpkg-deb") {
      const [, archive = "", folder = ""] = args;
      const name = /([^/]+)_\d_amd64\.deb$/.exec(archive)?.[1] ?? "";
      const path = join(folder, name === "crun" ? "usr/bin" : "lib", name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, "");
    }
    return "";
  };
}

it("has packages with all, with nothing, or with the next of what they depend on", async () => {
  const reports: string[] = [];
  const run = fakeRun();
  const tree = await debianTree(wanted, { cache, run, report: (message) => reports.push(message) });
  expect(tree.packages).toEqual([
    "crun_1_amd64.deb",
    "libc6_1_amd64.deb",
    "linux-image-6.1.0-50-amd64_2_amd64.deb",
    "tool_2_amd64.deb",
  ]);
  expect(lines.filter((line) => line.startsWith("apt"))).toEqual([
    "apt-get update -q",
    "apt-get install --download-only -y -q --no-install-recommends crun",
    "apt-cache show --no-all-versions linux-image-amd64",
    "apt-get download -q tool linux-image-6.1.0-50-amd64",
  ]);
  expect(existsSync(join(tree.folder, "usr/bin/crun"))).toBe(true);
  expect(readdirSync(join(tree.folder, "usr/lib"))).toEqual(["libc6", "linux-image-6.1.0-50-amd64", "tool"]);
  expect(reports).toEqual(["fetching Debian's crun, tool, linux-image-amd64"]);
  lines = [];
  expect(await debianTree(wanted, { cache, run, report: (message) => reports.push(message) })).toEqual(tree);
  expect([lines, reports.length]).toEqual([[], 1]);
});

it("leaves out what is to stay away", async () => {
  const run = fakeRun();
  const tree = await debianTree(
    { name: "qemu", whole: ["crun"], without: ["libc6"] },
    { cache, run, report: () => {} },
  );
  expect(tree.packages).toEqual(["crun_1_amd64.deb"]);
});

it("says which packages it cannot get, and why, and leaves nothing", async () => {
  const refusal = new Error("E: Unable to locate package tool");
  const run = fakeRun((line) => (line.startsWith("apt-get download") ? refusal : undefined));
  await expect(debianTree(wanted, { cache, run, report: () => undefined })).rejects.toThrow(
    "cannot get Debian's packages crun, tool, linux-image-amd64: E: Unable to locate package tool",
  );
  expect(readdirSync(cache)).toEqual([]);
});
