import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseChangesetFile } from "@changesets/parse";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { manifests, root, workspaceFiles } from "../workspace.ts";
import { appsOfPackages, changesetProblems } from "./changesets.ts";

const file = ".changeset/x.md";
const problems = (text: string): readonly string[] =>
  changesetProblems(file, text, new Set(["@uvm-shim/shim", "@uvm-shim/ttrpc"]), new Map()).map(({ what }) => what);

describe("changesets", () => {
  it("need front matter with known packages and bumps, and a text", () => {
    expect(problems('---\n"@uvm-shim/shim": minor\n---\n\nPods start faster.\n')).toEqual([]);
  });

  it.each([
    ['---\n\n"@uvm-shim/shim": minor\n\n***\n\nPods start faster.\n', "missing or invalid frontmatter"],
    ['## "@uvm-shim/shim": minor\n\nPods start faster.\n', "missing or invalid frontmatter"],
    ['---\n"@uvm-shim/shim": [minor\n---\n\nPods start faster.\n', "invalid YAML"],
    ['---\n"@uvm-shim/shim": small\n---\n\nPods start faster.\n', 'invalid version type "small"'],
    ['---\n"@uvm-shim/shime": minor\n---\n\nPods start faster.\n', "@uvm-shim/shime is no package that is released"],
    ["---\n---\n\nPods start faster.\n", "names no package"],
    ['---\n"@uvm-shim/shim": minor\n---\n', "says nothing about what users notice"],
    ["", "file is empty"],
  ])("are reported when they are broken: %j", (text, what) => {
    expect(problems(text)).toEqual([expect.stringContaining(what)]);
  });
});

describe("executables", () => {
  it("of all apps have one version", () => {
    const { fixed } = JSON.parse(readFileSync(join(root, ".changeset/config.json"), "utf8"));
    const apps = [...manifests()].filter(([folder]) => folder.startsWith("apps/")).map(([, { name }]) => name);
    expect(fixed).toEqual([apps]);
  });

  const manifest = (name: string, ...dependencies: readonly string[]) =>
    [
      name,
      {
        name: `@uvm-shim/${name.split("/")[1]}`,
        dependencies: Object.fromEntries(dependencies.map((each) => [`@uvm-shim/${each}`, "workspace:*"])),
      },
    ] as const;
  const packages = new Map([
    manifest("apps/shim-lcow", "shim", "guest-lcow"),
    manifest("apps/shim-wcow", "shim"),
    manifest("packages/shim", "ttrpc"),
    manifest("packages/guest-lcow"),
    manifest("packages/ttrpc"),
    manifest("packages/guest-agent", "ttrpc"),
  ]);
  const apps = appsOfPackages(packages);

  it("contain what they depend on", () => {
    expect(Object.fromEntries(apps)).toEqual({
      "@uvm-shim/shim": ["@uvm-shim/shim-lcow", "@uvm-shim/shim-wcow"],
      "@uvm-shim/guest-lcow": ["@uvm-shim/shim-lcow"],
    });
  });

  it.each([
    [
      ["shim"],
      ["names @uvm-shim/shim, but not the executables that change: @uvm-shim/shim-lcow or @uvm-shim/shim-wcow"],
    ],
    [
      ["guest-lcow", "shim-wcow"],
      ["names @uvm-shim/guest-lcow, but not the executables that change: @uvm-shim/shim-lcow"],
    ],
    [["shim", "shim-wcow"], []],
    [["ttrpc"], []],
  ])("are named where %j change", (names, expected) => {
    const released = new Set([...packages.values()].map(({ name }) => name));
    const text = `---\n${names.map((name) => `"@uvm-shim/${name}": patch\n`).join("")}---\n\nText.\n`;
    expect(changesetProblems(file, text, released, apps).map(({ what }) => what)).toEqual(expected);
  });
});

describeWith("git")("the pinned command line of changesets, on a copy of the workspace", () => {
  const copy = mkdtempSync(join(tmpdir(), "changesets-"));
  const named = new Map<string, string[]>();

  const run = (command: string, ...args: readonly string[]): void => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: copy, encoding: "utf8" });
    expect({ status, output: status === 0 ? "" : stdout + stderr }, `${command} ${args.join(" ")}`).toEqual({
      status: 0,
      output: "",
    });
  };
  const changeset = (...args: readonly string[]): void => run(join(root, "node_modules/.bin/changeset"), ...args);

  beforeAll(() => {
    for (const file of workspaceFiles()) {
      if (!/(^|\/)package\.json$|^\.changeset\/|^pnpm-workspace\.yaml$/.test(file)) continue;
      mkdirSync(dirname(join(copy, file)), { recursive: true });
      cpSync(join(root, file), join(copy, file));
      if (!/^\.changeset\/(?!README\b).*\.md$/.test(file)) continue;
      const { releases, summary } = parseChangesetFile(readFileSync(join(root, file), "utf8"));
      for (const { name } of releases) named.set(name, [...(named.get(name) ?? []), summary.split("\n", 1)[0] ?? ""]);
    }
    run("git", "init", "--quiet", "--initial-branch=main");
    run("git", "add", ".");
    run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message=copy");
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  it("lists every package that a changeset names, and writes all changes to its changelog", () => {
    changeset("status", "--output=status.json");
    const { releases } = JSON.parse(readFileSync(join(copy, "status.json"), "utf8")) as {
      releases: readonly { readonly name: string }[];
    };
    expect(releases.map(({ name }) => name)).toEqual(expect.arrayContaining([...named.keys()]));
    rmSync(join(copy, "status.json"));

    changeset("version");
    for (const [folder, { name }] of manifests()) {
      const changes = named.get(name);
      if (changes === undefined) continue;
      const changelog = readFileSync(join(copy, folder, "CHANGELOG.md"), "utf8");
      for (const change of changes) expect(changelog, name).toContain(change);
    }
  });
});
