/**
 * `npm run release:check`: what a user does with the archives in dist/release. Their digests, the archive of this machine
 * installed by install.sh beside each containerd of Debian, a container through `ctr run`, and nothing left after --uninstall.
 */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "@uvm-shim/lifecycle";
import { type CommandResult, describe, mustRun, runCommand } from "@uvm-shim/test-support/command";
import { describeCounts } from "../../../tools/counts.ts";
import { type ContainerdBuild, findContainerds, WANTED } from "../debian/containerds.ts";
import { upstreamVersion } from "../debian/sources.ts";
import { Containerd } from "../e2e/containerd.ts";
import { IMAGE, makeImages } from "../e2e/images.ts";
import { leavingNothing, Report } from "../e2e/suite.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { HOST_ENVIRONMENT } from "../support/programs.ts";
import { treeOf } from "./tree.ts";

const release = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "dist", "release");

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The archive for this machine. */
function ownArchive(): string {
  const [, name] = new RegExp(`  (uvm-shim-\\S+-linux-${process.arch}\\.tar\\.gz)$`, "m").exec(sums()) ?? [];
  if (name === undefined) throw new Error(`${release} has no archive for this machine: run npm run release:archives`);
  return join(release, name);
}

function sums(): string {
  const file = join(release, "SHA256SUMS");
  if (!existsSync(file)) throw new Error(`${file} is missing: run npm run release:archives`);
  return readFileSync(file, "utf8");
}

/** A machine's folders, as far as install.sh touches them. */
class Site {
  readonly folder: string;
  readonly bin: string;
  readonly config: string;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(folder: string, build: ContainerdBuild) {
    this.folder = folder;
    this.bin = join(folder, "usr/local/bin");
    this.config = join(folder, "etc/containerd/config.toml");
    this.#environment = { ...process.env, PATH: [build.programs, process.env.PATH].join(delimiter) };
    mkdirSync(dirname(this.config), { recursive: true });
    const version = build.major >= 2 ? 3 : 2;
    // The last line has no end, as an editor may leave it.
    writeFileSync(this.config, `version = ${version}\nroot = "/var/lib/containerd"\n\n[debug]\n  level = "info"`);
  }

  install(...args: readonly string[]): Promise<CommandResult> {
    const places = ["--prefix", join(this.folder, "opt/uvm-shim"), "--bin", this.bin, "--config", this.config];
    const script = join(release, "install.sh");
    return runCommand("sh", [script, ...places, ...args], { environment: this.#environment, timeoutMs: 120_000 });
  }

  async mustInstall(...args: readonly string[]): Promise<string> {
    const result = await this.install(...args);
    if (result.status !== 0) throw new Error(describe(result));
    return result.stdout.toString();
  }

  /** The runtime handlers that containerd reads out of the configuration. */
  async handlers(): Promise<string> {
    return mustRun("containerd", ["--config", this.config, "config", "dump"], { environment: this.#environment });
  }
}

async function digests(): Promise<void> {
  await mustRun("sha256sum", ["--check", "--strict", "SHA256SUMS"], { directory: release });
}

/** An archive of which one byte is another is refused, and nothing is placed. */
async function tampered(site: Site, directory: string): Promise<void> {
  const folder = join(directory, "tampered");
  cpSync(ownArchive(), join(folder, ownArchive().slice(release.length + 1)));
  cpSync(join(release, "SHA256SUMS"), join(folder, "SHA256SUMS"));
  const archive = join(folder, ownArchive().slice(release.length + 1));
  appendFileSync(archive, "x");
  const before = treeOf(site.folder);
  const { status, stderr } = await site.install("--from", archive, "--yes");
  assert.equal(status, 1);
  assert.match(stderr, /is not what \S+SHA256SUMS says/);
  assert.deepEqual(treeOf(site.folder), before);
}

async function wholeLife(site: Site, build: ContainerdBuild, isolated: Isolation): Promise<void> {
  const before = treeOf(site.folder);
  await site.mustInstall("--from", ownArchive(), "--yes");
  const handlers = await site.handlers();
  assert.match(handlers, /runtimes\.["']?uvm-lcow["']?\]/);
  assert.match(handlers, /io\.containerd\.lcow\.v2/);
  const images = await makeImages(join(isolated.directory, "images", build.version));
  const containerd = await Containerd.start(
    {
      build,
      directory: join(isolated.directory, "c", build.version),
      shims: site.bin,
      environment: HOST_ENVIRONMENT,
    },
    isolated.signal,
  );
  try {
    await containerd.mustCtr(["image", "import", images.archive]);
    const run = ["run", "--rm", "--runtime", "io.containerd.lcow.v2", IMAGE, "hello", "echo", "hello"];
    assert.equal(await containerd.mustCtr(run, { timeoutMs: 60_000 }), "hello\n");
  } finally {
    await containerd.destroy();
  }
  const said = await site.mustInstall("--uninstall", "--force");
  assert.match(said, /removed uvm-shim/);
  assert.deepEqual(treeOf(site.folder), before);
}

async function inside(isolated: Isolation): Promise<number> {
  const report = new Report(print, isolated.signal);
  await report.run("every file has the digest that SHA256SUMS says", digests, () => "");
  for (const build of await findContainerds(WANTED, print)) {
    const site = new Site(join(isolated.directory, "sites", upstreamVersion(build.version)), build);
    print(`containerd ${build.version}`);
    await report.run(
      "an archive that was tampered with is refused",
      () => tampered(site, isolated.directory),
      () => "",
    );
    const scope = shimScope([site.folder]);
    const life = () => leavingNothing(scope, isolated.signal, () => wholeLife(site, build, isolated));
    await report.run("installed, configured, a container through PATH, and removed without a trace", life, () => "");
  }
  for (const failure of report.failures) print(`failed: ${failure}`);
  print(describeCounts({ passed: report.passed, failed: report.failures.length }));
  return report.failures.length === 0 && !isolated.signal.aborted ? 0 : 1;
}

async function main(): Promise<number> {
  const isolated = isolation();
  if (isolated !== undefined) return inside(isolated);
  if (process.getuid?.() !== 0) throw new Error("must run as root: containerd mounts file systems");
  ownArchive();
  await findContainerds(WANTED, print);
  return runIsolated(import.meta.url, process.argv.slice(2), { inMemory: false });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`release:check: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
