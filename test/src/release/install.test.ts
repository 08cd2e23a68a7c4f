import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { beforeEach, expect, it } from "vitest";
import { packTar } from "../../../tools/release/archive.ts";
import { treeOf } from "./tree.ts";

const script = join(import.meta.dirname, "..", "..", "..", "install.sh");
const units = join(dirname(script), "packaging", "systemd");
const target = `linux-${process.arch}`;

itWith("install.sh has nothing that shellcheck reports", "shellcheck")(
  "install.sh has nothing that shellcheck reports",
  () => {
    const { status, stdout } = spawnSync("shellcheck", ["--shell=sh", "--severity=style", script], {
      encoding: "utf8",
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  },
);

function program(path: string, ...lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
}

describeWith("Linux")("install.sh", () => {
  let site: string;
  let config: string;
  beforeEach(() => {
    site = realpathSync(mkdtempSync(join(tmpdir(), "site-")));
    config = join(site, "etc/containerd/config.toml");
    mkdirSync(join(site, "usr/local"), { recursive: true });
    program(
      join(site, "programs/containerd"),
      `[ "$1" = --version ] && echo "containerd example.test/containerd v2.1.9" || true`,
    );
  });

  /** An archive with stand-ins for the programs, and its digest beside it. */
  async function archive(version: string, shim: readonly string[] = [`echo "shim ${version}"`]): Promise<string> {
    const downloads = mkdtempSync(join(tmpdir(), "downloads-"));
    const folder = join(downloads, `uvm-shim-${version}-${target}`);
    program(join(folder, "containerd-shim-lcow-v2"), ...shim);
    program(join(folder, "hcs-emulator"), "exit 0");
    program(join(folder, "lib/node"), "exit 0");
    copyFileSync(script, join(folder, "install.sh"));
    cpSync(units, join(folder, "systemd"), { recursive: true });
    mkdirSync(join(folder, "share/man/man8"), { recursive: true });
    writeFileSync(join(folder, "share/man/man8/hcs-emulator.8"), "manual");
    const file = `${folder}.tar.gz`;
    await packTar(folder, file, new Date(0));
    const digest = createHash("sha256").update(readFileSync(file)).digest("hex");
    writeFileSync(join(downloads, "SHA256SUMS"), `${digest}  ${file.slice(downloads.length + 1)}\n`);
    return file;
  }

  function install(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const places = ["--prefix", join(site, "opt/uvm-shim"), "--bin", join(site, "usr/local/bin"), "--config", config];
    const env = { ...process.env, PATH: `${join(site, "programs")}:${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync("sh", [script, ...places, ...args], { encoding: "utf8", env });
    return { status, stdout, stderr };
  }

  /** In the background, with a shim that waits; resolves when that has been started. */
  async function startWaiting(...args: readonly string[]): Promise<ChildProcess> {
    const waiting = join(site, "waiting");
    const file = await archive("1.0.0", [`echo >'${waiting}'`, "exec sleep 60"]);
    const places = ["--prefix", join(site, "opt/uvm-shim"), "--bin", join(site, "usr/local/bin"), "--config", config];
    const child = spawn("sh", [script, ...places, "--from", file, ...args], { stdio: "ignore", detached: true });
    const watcher = watch(site);
    while (!existsSync(waiting)) await once(watcher, "change");
    watcher.close();
    rmSync(waiting);
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    process.kill(-(child.pid as number), "SIGKILL");
    await once(child, "exit");
  }

  function writeConfig(text: string): void {
    mkdirSync(dirname(config), { recursive: true });
    writeFileSync(config, text);
  }

  const ok = { status: 0, stderr: "" };
  const said = (text: string): object => ({ status: 1, stderr: expect.stringContaining(text) });

  it.each([
    [
      "of version 3",
      'version = 3\n\n[debug]\n  level = "info"\n',
      "io.containerd.cri.v1.runtime",
      "sandboxer = 'shim'",
    ],
    ["of version 2", "version = 2", "io.containerd.grpc.v1.cri", "runtime_type = 'io.containerd.lcow.v2'"],
    ["that is missing", undefined, "io.containerd.cri.v1.runtime", "sandboxer = 'shim'"],
  ])("adds to a configuration %s, and leaves all as it was", async (_, text, plugin, setting) => {
    if (text !== undefined) writeConfig(text);
    const before = treeOf(site);
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(ok);
    expect(readFileSync(config, "utf8")).toContain(`[plugins.'${plugin}'.containerd.runtimes.uvm-lcow]`);
    expect(readFileSync(config, "utf8")).toContain(setting);
    const shim = spawnSync(join(site, "usr/local/bin/containerd-shim-lcow-v2"), { encoding: "utf8" });
    expect(shim.stdout).toBe("shim 1.0.0\n");
    expect(readFileSync(join(site, "usr/local/share/man/man8/hcs-emulator.8"), "utf8")).toBe("manual");
    expect(install("--uninstall")).toMatchObject(ok);
    expect(treeOf(site)).toEqual(before);
  });

  it("asks before it configures, and without a terminal does not", async () => {
    writeConfig("version = 3\n");
    const places = ["--prefix", join(site, "opt"), "--bin", join(site, "bin"), "--config", config];
    const args = ["--wait", "sh", script, ...places, "--from", await archive("1.0.0")];
    const { status, stdout } = spawnSync("setsid", args, { encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining("uvm-lcow]") });
    expect(readFileSync(config, "utf8")).toBe("version = 3\n");
  });

  it("names runc again where containerd 1.x would forget it, and only there", async () => {
    const named = "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.other]\n";
    const cases = [
      { before: "version = 2\n", names: true },
      { before: `version = 2\n${named}`, names: false },
      { before: "version = 3\n", names: false },
    ];
    const file = await archive("1.0.0");
    for (const { before, names } of cases) {
      writeConfig(before);
      expect(install("--from", file, "--yes")).toMatchObject(ok);
      const text = readFileSync(config, "utf8");
      expect({ before, names: text.includes("containerd.runtimes.runc]") }).toEqual({ before, names });
      expect(text).toContain("pod_annotations = ['io.microsoft.*', 'io.uvm-shim.*']");
      expect(install("--uninstall")).toMatchObject(ok);
      expect(readFileSync(config, "utf8")).toBe(before);
    }
  });

  it("refuses an archive that is not what the digests say, or that they do not name", async () => {
    const file = await archive("1.0.0");
    const before = treeOf(site);
    writeFileSync(join(dirname(file), "others"), `${"0".repeat(64)}  another.tar.gz\n`);
    expect(install("--from", file, "--sums", join(dirname(file), "others"))).toMatchObject(said("has no digest of"));
    expect(install("--from", file, "--sums", join(dirname(file), "none"))).toMatchObject(said("is missing"));
    writeFileSync(file, "x", { flag: "a" });
    expect(install("--from", file, "--yes")).toMatchObject(said("is not what"));
    expect(treeOf(site)).toEqual(before);
  });

  it("removes what it placed when the shim does not run, or containerd takes no such configuration", async () => {
    writeConfig("version = 3\n");
    const before = treeOf(site);
    const failing = await archive("1.0.0", ["echo no libatomic >&2; exit 127"]);
    expect(install("--from", failing, "--yes")).toMatchObject(said("the shim does not run here: no libatomic"));
    expect(treeOf(site)).toEqual(before);
    program(join(site, "programs/containerd"), "echo wrong key >&2; exit 1");
    const refused = treeOf(site);
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(said("containerd does not take"));
    expect(treeOf(site)).toEqual(refused);
  });

  it("replaces no program of others", async () => {
    const other = join(site, "usr/local/bin/hcs-emulator");
    program(other, "echo other");
    const before = treeOf(site);
    expect(install("--from", await archive("1.0.0"), "--no-configure")).toMatchObject(said("is there already"));
    expect(treeOf(site)).toEqual(before);
  });

  it("puts an update beside what pods run, and goes back to it when the update fails", async () => {
    const shim = (): string =>
      spawnSync(join(site, "usr/local/bin/containerd-shim-lcow-v2"), { encoding: "utf8" }).stdout;
    const before = treeOf(site);
    expect(install("--from", await archive("1.0.0"), "--no-configure")).toMatchObject(ok);
    expect(install("--from", await archive("1.1.0"), "--no-configure")).toMatchObject(ok);
    expect(shim()).toBe("shim 1.1.0\n");
    writeConfig("version = 3\n");
    program(join(site, "programs/containerd"), "exit 1");
    expect(install("--from", await archive("1.2.0"), "--yes")).toMatchObject(said("containerd does not take"));
    expect(shim()).toBe("shim 1.1.0\n");
    program(
      join(site, "programs/containerd"),
      `[ "$1" = --version ] && echo "containerd example.test/containerd v2.1.9" || true`,
    );
    expect(install("--uninstall")).toMatchObject(ok);
    expect(treeOf(site).filter((path) => !path.startsWith("etc"))).toEqual(before);
  });

  it.each(["--uninstall", "--no-configure"])(
    "removes what an installation left that was killed, with %s",
    async (word) => {
      const before = treeOf(site);
      await kill(await startWaiting("--no-configure"));
      expect(treeOf(site)).not.toEqual(before);
      const args = word === "--uninstall" ? [word] : ["--from", await archive("1.0.0"), word];
      const interrupted = { status: 0, stderr: expect.stringContaining("was interrupted: removing what it placed") };
      expect(install(...args)).toMatchObject(interrupted);
      if (word !== "--uninstall") expect(install("--uninstall")).toMatchObject(ok);
      expect(treeOf(site)).toEqual(before);
    },
  );

  it("refuses to install beside an installation that goes on", async () => {
    const child = await startWaiting("--no-configure");
    try {
      const other = install("--from", await archive("1.1.0"), "--no-configure");
      expect(other).toMatchObject(
        said(`another installation goes on in ${join(site, "opt/uvm-shim")}, process ${child.pid}`),
      );
      expect(install("--uninstall")).toMatchObject(said("another installation goes on"));
    } finally {
      await kill(child);
    }
  });

  it("is not begun by a part of it that came through a pipe", () => {
    const text = readFileSync(script, "utf8");
    const before = treeOf(site);
    for (const part of [0.3, 0.6, 0.9, 0.999]) {
      const input = text.slice(0, text.length * part);
      const args = ["-s", "--", "--prefix", join(site, "opt"), "--uninstall"];
      expect(spawnSync("sh", args, { input, encoding: "utf8" }).stderr).toMatch(/unexpected|unterminated/i);
    }
    expect(treeOf(site)).toEqual(before);
  });

  it("through a pipe does not take the folder that it is run in for an archive", async () => {
    const other = join(site, "another program/lib/node");
    mkdirSync(other, { recursive: true });
    // A machine may have neither this nor wget, and the test asks no server.
    program(join(site, "programs/curl"), "exit 6");
    const piped = (...more: readonly string[]) =>
      spawnSync("sh", ["-s", "--", "--prefix", join(site, "opt"), ...more], {
        ...{ cwd: join(site, "another program"), encoding: "utf8", input: readFileSync(script) },
        env: { PATH: `${join(site, "programs")}:${process.env.PATH}` },
      });
    expect(piped("--url", "file:///nowhere").stderr).toContain("file:///nowhere/SHA256SUMS could not be downloaded");
    expect(piped().stderr).toContain("SHA256SUMS could not be downloaded");
  });

  it.each([
    ["empty", ""],
    ["without a word in it", "# nothing yet\n\n"],
  ])("says its version in a configuration that is %s", async (_, text) => {
    writeConfig(text);
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(ok);
    expect(readFileSync(config, "utf8")).toMatch(/^version = 3$/m);
    expect(install("--uninstall")).toMatchObject(ok);
    expect(readFileSync(config, "utf8")).toBe(text);
  });

  it("leaves handlers of these names alone, however they are quoted", async () => {
    for (const name of ["uvm-lcow", `"uvm-lcow"`, "'uvm-wcow'"]) {
      const text = `version = 3\n[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.${name}]\n`;
      writeConfig(text);
      const { status, stdout } = install("--from", await archive("1.0.0"), "--yes");
      expect({ name, status, stdout }).toEqual({ name, status: 0, stdout: expect.stringContaining("made by others") });
      expect(readFileSync(config, "utf8")).toBe(text);
      expect(install("--uninstall")).toMatchObject(ok);
    }
  });

  it("names runc where the configuration does in a remark only", async () => {
    writeConfig("version = 2\n# [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\n");
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(ok);
    expect(readFileSync(config, "utf8")).toMatch(/^\[.*containerd\.runtimes\.runc\]$/m);
  });

  it("asks containerd about the configuration before that is in its place", async () => {
    writeConfig("version = 3\n");
    const seen = join(site, "seen");
    program(join(site, "programs/containerd"), `[ "$1" = --version ] || { cat '${config}' >'${seen}'; exit 1; }`);
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(said("containerd does not take"));
    expect(readFileSync(seen, "utf8")).toBe("version = 3\n");
  });

  it("follows a link to the configuration, keeps its mode, and takes its path from where it is run", async () => {
    const real = join(site, "elsewhere/real.toml");
    mkdirSync(dirname(real), { recursive: true });
    writeFileSync(real, "version = 3\n", { mode: 0o640 });
    mkdirSync(dirname(config), { recursive: true });
    symlinkSync(real, config);
    const before = treeOf(site);
    const args = ["--prefix", join(site, "opt/uvm-shim"), "--bin", join(site, "usr/local/bin"), "--yes"];
    const { status } = spawnSync("sh", [script, ...args, "--config", "config.toml", "--from", await archive("1.0.0")], {
      ...{ cwd: dirname(config), encoding: "utf8" },
      env: { ...process.env, PATH: `${join(site, "programs")}:${process.env.PATH}` },
    });
    expect(status).toBe(0);
    expect(readFileSync(real, "utf8")).toContain("uvm-lcow]");
    expect(lstatSync(config).isSymbolicLink()).toBe(true);
    expect(lstatSync(real).mode & 0o777).toBe(0o640);
    expect(install("--uninstall")).toMatchObject(ok);
    expect(treeOf(site)).toEqual(before);
  });

  it("removes nothing behind a part of it whose last line was removed, and then can be run again", async () => {
    writeConfig("version = 3\n");
    const before = treeOf(site);
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(ok);
    const text = readFileSync(config, "utf8");
    const damaged = `${text.replace("# <<< uvm-shim\n", "")}[debug]\n`;
    writeFileSync(config, damaged);
    expect(install("--uninstall")).toMatchObject(said("put it back, or remove that part"));
    expect(readFileSync(config, "utf8")).toBe(damaged);
    writeFileSync(config, text);
    expect(install("--uninstall")).toMatchObject(ok);
    expect(treeOf(site)).toEqual(before);
  });

  it("remembers what could not be removed", async () => {
    const before = treeOf(site);
    expect(install("--from", await archive("1.0.0"), "--no-configure")).toMatchObject(ok);
    const rm = join(site, "programs/rm");
    program(rm, `case $* in */bin/hcs-emulator) exit 1 ;; esac`, `exec /bin/rm "$@"`);
    expect(install("--uninstall")).toMatchObject(said(`could not be removed, and is still in`));
    rmSync(rm);
    expect(install("--uninstall")).toMatchObject(ok);
    expect(treeOf(site)).toEqual(before);
  });

  it("takes links into its prefix that it did not make for those of others", async () => {
    const other = join(site, "usr/local/lib/other/hcs-emulator");
    program(other, "exit 0");
    mkdirSync(join(site, "usr/local/bin"));
    symlinkSync(other, join(site, "usr/local/bin/hcs-emulator"));
    const before = treeOf(site);
    const args = ["--from", await archive("1.0.0"), "--no-configure", "--prefix", join(site, "usr/local")];
    expect(install(...args)).toMatchObject(said("is there already"));
    expect(treeOf(site)).toEqual(before);
  });

  it("keeps what others changed in the configuration", async () => {
    writeConfig("version = 3\n");
    expect(install("--from", await archive("1.0.0"), "--yes")).toMatchObject(ok);
    writeFileSync(config, '[debug]\nlevel = "debug"\n', { flag: "a" });
    expect(install("--uninstall")).toMatchObject({ status: 0, stderr: expect.stringContaining("changed by others") });
    expect(readFileSync(config, "utf8")).toBe('version = 3\n[debug]\nlevel = "debug"\n');
  });

  it("leaves programs that run, unless it is forced", async () => {
    const file = await archive("1.0.0");
    expect(install("--from", file, "--no-configure")).toMatchObject(ok);
    const running = join(site, "opt/uvm-shim", `uvm-shim-1.0.0-${target}`, "sleep");
    copyFileSync(realpathSync("/bin/sleep"), running);
    const child = spawn(running, ["1000"], { stdio: "ignore" });
    await once(child, "spawn");
    try {
      expect(install("--uninstall")).toMatchObject(said(`the processes ${child.pid} `));
      expect(install("--uninstall", "--force")).toMatchObject(ok);
    } finally {
      child.kill();
    }
  });

  it.each([
    [["--frmo", "x"], "unknown option --frmo"],
    [["--from"], "--from needs a value"],
    [["--prefix", "relative"], "is not an absolute path"],
    [["--prefix", "/a b"], "may have letters"],
  ])("refuses %j", (args, text) => {
    const { status, stderr } = install(...args);
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
  });

  it("is told when it is run in an unpacked archive", async () => {
    const file = await archive("1.0.0");
    const unpacked = mkdtempSync(join(tmpdir(), "unpacked-"));
    spawnSync("tar", ["-xzf", file, "-C", unpacked]);
    const link = join(unpacked, "link");
    symlinkSync(`uvm-shim-1.0.0-${target}`, link);
    const places = ["--prefix", join(site, "opt"), "--bin", join(site, "bin"), "--no-configure"];
    const { status, stdout } = spawnSync("sh", [join(link, "install.sh"), ...places], { encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining("installed uvm-shim-1.0.0") });
  });
});
