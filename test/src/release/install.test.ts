import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { beforeEach, expect, it } from "vitest";
import { packTar } from "../../../tools/release/archive.ts";
import { treeOf } from "./tree.ts";

const script = join(import.meta.dirname, "..", "..", "..", "install.sh");
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
