/** tools/run.mjs in a checkout of its own, with stand-ins for npm, pnpm and the pinned Node, which write down how they are called. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { beforeEach, expect, it } from "vitest";
import { root } from "./workspace.ts";

const demoNeeds = ["crun", "mount", "unshare", "setpriv", "mkfifo", "ldd"];

interface Ended {
  readonly status: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

let site: string;
let checkout: string;

function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(site, path)), { recursive: true });
  writeFileSync(join(site, path), text);
  chmodSync(join(site, path), mode);
}

function program(path: string, ...lines: readonly string[]): void {
  put(path, ["#!/bin/sh", ...lines, ""].join("\n"), 0o755);
}

/** The calls of stand-ins since the last look. */
function calls(): readonly string[] {
  const file = join(site, "calls");
  const lines = existsSync(file) ? readFileSync(file, "utf8").trimEnd().split(/ *\n/) : [];
  rmSync(file, { force: true });
  return lines;
}

beforeEach(() => {
  site = realpathSync(mkdtempSync(join(tmpdir(), "run-")));
  checkout = join(site, "a checkout of Ann's");
  const tools = globSync(["tools/run.mjs", "tools/bootstrap/*.mjs", "tools/toolchain/*.json"], { cwd: root });
  for (const file of tools) {
    put(join("a checkout of Ann's", file), "");
    copyFileSync(join(root, file), join(checkout, file));
  }
  for (const file of ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "tools/generate-protobuf.ts"]) {
    put(join("a checkout of Ann's", file), "{}\n");
  }
  put("a checkout of Ann's/packages/a/proto/a.proto", "");
  put("a checkout of Ann's/apps/b/package.json", "{}");
  put("a checkout of Ann's/test/package.json", "{}");
  program(
    "stand-ins/node",
    `case $* in`,
    `  --version) ;;`,
    `  *generate-protobuf.ts)`,
    `    echo generate >>'${site}/calls'; mkdir -p packages/a/src/generated; echo >packages/a/src/generated/messages.js ;;`,
    `  *) echo "node \${1##*/} \${2:-}" >>'${site}/calls'; [ ! -f '${site}/task' ] || . '${site}/task' ;;`,
    `esac`,
  );
  program(
    "stand-ins/pnpm",
    `echo "pnpm $1" >>'${site}/calls'`,
    `[ ! -f '${site}/pnpm' ] || . '${site}/pnpm'`,
    "mkdir -p node_modules; echo >node_modules/.modules.yaml",
  );
  const nodeFolder = `node_modules/node-linux-${process.arch}/bin`;
  const pnpmFolder = `node_modules/@pnpm/exe.linux-${process.arch}`;
  program(
    "bin/npm",
    `echo "npm $1 cache=\${npm_config_cache#'${site}'/}" >>'${site}/calls'`,
    `[ ! -f '${site}/npm' ] || . '${site}/npm'`,
    "rm -rf node_modules",
    `mkdir -p ${nodeFolder} ${pnpmFolder} node_modules/.bin`,
    `cp '${site}/stand-ins/node' ${nodeFolder}/node; cp '${site}/stand-ins/pnpm' ${pnpmFolder}/pnpm`,
  );
  for (const name of demoNeeds) program(join("bin", name), "exit 0");
});

function start(
  words: readonly string[],
  more: NodeJS.ProcessEnv = {},
): ChildProcess & { readonly ended: Promise<Ended> } {
  const { NODE_OPTIONS: _, npm_config_cache: __, ...inherited } = process.env;
  const child = spawn(process.execPath, [join(checkout, "tools", "run.mjs"), ...words], {
    cwd: checkout,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...inherited,
      PATH: `${join(site, "bin")}:${process.env.PATH}`,
      HOME: site,
      UVM_SHIM_COMMIT: "abc",
      ...more,
    },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code, signal]) => ({ status: signal ?? code, stdout, stderr }));
  return Object.assign(child, { ended });
}

const run = (...words: readonly string[]): Promise<Ended> => start(words).ended;

/** Resolves once a stand-in has made a file. */
async function made(name: string): Promise<void> {
  const watcher = watch(site);
  try {
    while (!existsSync(join(site, name))) await once(watcher, "change");
  } finally {
    watcher.close();
  }
}

const everything = [expect.stringMatching(/^npm ci /), "pnpm install", "generate", "node tasks.ts check"];

describeWith("Linux")("a script", () => {
  it("gets what it needs once, in a checkout whose path has spaces and quotes", async () => {
    expect(await run("check")).toMatchObject({ status: 0 });
    expect(calls()).toEqual(everything);
    expect(await run("check")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(calls()).toEqual(["node tasks.ts check"]);
  });

  it.each([
    ["the toolchain", ".toolchain/node_modules", "npm ci"],
    ["node_modules", "node_modules", "pnpm install"],
    ["generated code", "packages/a/src/generated", "generate"],
  ])("gets %s again when it was removed", async (_, path, call) => {
    await run("check");
    calls();
    rmSync(join(checkout, path), { recursive: true });
    expect(await run("check")).toMatchObject({ status: 0 });
    expect(calls().map((line) => line.replace(/ cache=.*/, ""))).toEqual([call, "node tasks.ts check"]);
  });

  it.each(["tools/toolchain/package-lock.json", "pnpm-lock.yaml"])("gets it again for another %s", async (file) => {
    await run("check");
    calls();
    writeFileSync(join(checkout, file), '{"packages":{}}');
    expect(await run("check")).toMatchObject({ status: 0 });
    expect(calls()).toContainEqual(expect.stringMatching(file.startsWith("pnpm") ? /^pnpm install/ : /^npm ci/));
  });

  it("begins again what failed, and says all that was said about it", async () => {
    put("pnpm", "echo the disk is full >&2; exit 3");
    const failed = await run("check");
    expect(failed).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("pnpm install failed (exit 3):\nthe disk is full"),
    });
    rmSync(join(site, "pnpm"));
    calls();
    expect(await run("check")).toMatchObject({ status: 0 });
    expect(calls()).toEqual(everything.slice(1));
  });

  it.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)("that is interrupted by %s is begun again", async (signal) => {
    put("npm", `echo $$ >'${site}/begun'; exec sleep 60`);
    const interrupted = start(["check"]);
    await made("begun");
    interrupted.kill(signal);
    const { status } = await interrupted.ended;
    expect(status).toBe({ SIGINT: 130, SIGTERM: 143, SIGKILL: "SIGKILL" }[signal]);
    rmSync(join(site, "npm"));
    calls();
    expect(await run("check")).toMatchObject({ status: 0 });
    expect(calls()).toEqual(everything);
  });

  it("waits while another one prepares the same checkout", async () => {
    put("npm", `echo >'${site}/begun'; while [ ! -e '${site}/go on' ]; do sleep 0.01; done`);
    const first = start(["check"]);
    await made("begun");
    const second = start(["test"]);
    const [said] = await once(second.stderr as NodeJS.ReadableStream, "data");
    expect(said).toBe(`npm run test waits for npm run check, process ${first.pid}, which prepares this checkout\n`);
    put("go on", "");
    expect((await first.ended).status).toBe(0);
    expect((await second.ended).status).toBe(0);
    expect(calls().filter((line) => !line.startsWith("node "))).toEqual(everything.slice(0, 3));
  });

  it.each(["SIGTERM", "SIGHUP"] as const)("has its program end by %s, and ends as that does", async (signal) => {
    // A shell that starts a program just then may lose the signal (dash, until the program runs).
    const ends = `kill $child; echo ended >>"${site}/calls"; exit 5`;
    put("task", `sleep 60 & child=$!; trap '${ends}' TERM HUP; echo >'${site}/begun'; wait`);
    const running = start(["check"]);
    await made("begun");
    running.kill(signal);
    expect((await running.ended).status).toBe(5);
    expect(calls().at(-1)).toBe("ended");
  });

  it("keeps nothing in a home folder that cannot be written", async () => {
    const { ended } = start(["check"], { HOME: "/dev/null/nowhere", XDG_CACHE_HOME: "relative" });
    expect(await ended).toMatchObject({ status: 0 });
    expect(calls()[0]).toBe("npm ci cache=a checkout of Ann's/.toolchain/home/.npm");
  });

  it("says in a sentence that the checkout cannot be written", async () => {
    put("a checkout of Ann's/.toolchain", "");
    expect(await run("check")).toEqual({ status: 1, stdout: "", stderr: expect.stringMatching(/^EEXIST: [^\n]+\n$/) });
  });
});

describeWith("Linux", "root")("the demo", () => {
  const making = "node tasks.ts demo";
  const showing = "node demo.mjs";

  beforeEach(() => {
    put("task", `case $* in *tasks.ts*) mkdir -p dist/demo/program; echo >dist/demo/program/demo.mjs ;; esac`);
  });

  it("is made once", async () => {
    expect(await run("demo")).toMatchObject({ status: 0 });
    expect(calls().at(-1)).toBe(showing);
    expect(await run("demo")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(calls()).toEqual([showing]);
  });

  it.each([
    "packages/a/src/a.ts",
    "apps/b/src/b.ts",
    "tools/bundle.ts",
    "test/src/demo/main.ts",
    "pnpm-lock.yaml",
    "package.json",
    "dist/demo/program/demo.mjs",
    `.toolchain/node_modules/node-linux-${process.arch}/bin/node`,
  ])("is made again after a change of %s", async (file) => {
    if (!file.startsWith(".toolchain")) put(join("a checkout of Ann's", file), "one");
    await run("demo");
    await run("demo");
    calls();
    if (file.startsWith(".toolchain")) rmSync(join(checkout, file));
    else put(join("a checkout of Ann's", file), "two");
    expect(await run("demo")).toMatchObject({ status: 0 });
    expect(calls()).toEqual(expect.arrayContaining([making, showing]));
  });

  it("is made again at another commit", async () => {
    await run("demo");
    calls();
    expect((await start(["demo"], { UVM_SHIM_COMMIT: "def" }).ended).status).toBe(0);
    expect(calls()).toEqual([making, showing]);
  });

  it("that could not be made is not shown, and is made again", async () => {
    put("task", "exit 4");
    expect(await run("demo")).toMatchObject({ status: 4 });
    expect(await run("demo")).toMatchObject({ status: 4 });
    expect(calls()).not.toContain(showing);
  });
});
