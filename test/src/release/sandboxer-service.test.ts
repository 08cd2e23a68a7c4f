import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { beforeEach, expect, it } from "vitest";
import { treeOf } from "./tree.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const script = join(root, "install.sh");
const units = join(root, "packaging", "systemd");
const names = ["uvm-shim-lcow.service", "uvm-shim-lcow.socket"];

function program(path: string, ...lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
}

describeWith("Linux")("install.sh with the sandboxer as a service", () => {
  let site: string;
  let unpacked: string;
  let asked: string;
  beforeEach(() => {
    site = realpathSync(mkdtempSync(join(tmpdir(), "site-")));
    asked = join(site, "asked");
    mkdirSync(join(site, "usr/local"), { recursive: true });
    mkdirSync(join(site, "etc/containerd"), { recursive: true });
    writeFileSync(join(site, "etc/containerd/config.toml"), "version = 3\n");
    program(join(site, "programs/containerd"), "exit 0");
    // A systemd on which no service runs yet.
    program(
      join(site, "programs/systemctl"),
      `echo "$*" >>'${asked}'`,
      `[ "$1" != is-active ] || [ -e '${site}/active' ]`,
    );
    writeFileSync(asked, "");
    unpacked = join(site, `uvm-shim-1.0.0-linux-${process.arch}`);
    program(join(unpacked, "containerd-shim-lcow-v2"), "exit 0");
    program(join(unpacked, "lib/node"), "exit 0");
    cpSync(script, join(unpacked, "install.sh"));
    cpSync(units, join(unpacked, "systemd"), { recursive: true });
  });

  function install(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const places = ["--prefix", join(site, "opt/uvm-shim"), "--bin", join(site, "usr/local/bin")];
    const etc = ["--config", join(site, "etc/containerd/config.toml"), "--units", join(site, "etc/systemd/system")];
    const env = { ...process.env, PATH: `${join(site, "programs")}:${process.env.PATH}` };
    const command = [join(unpacked, "install.sh"), ...places, ...etc, ...args];
    const { status, stdout, stderr } = spawnSync("sh", command, { encoding: "utf8", env });
    return { status, stdout, stderr };
  }

  const unit = (name: string): string => readFileSync(join(site, "etc/systemd/system", name), "utf8");
  const commands = (): readonly string[] =>
    readFileSync(asked, "utf8")
      .split("\n")
      .filter((line) => line !== "" && line !== "list-units");

  it("places its units, starts it, has containerd choose it, and leaves all as it was", () => {
    const before = treeOf(site);
    expect(install("--with-sandboxer", "--yes")).toMatchObject({ status: 0, stderr: "" });
    expect(readdirSync(join(site, "etc/systemd/system"))).toEqual(names);
    expect(unit("uvm-shim-lcow.service")).toContain(
      `ExecStart=${join(site, "usr/local/bin")}/containerd-shim-lcow-v2 sandboxer\n`,
    );
    expect(commands().slice(-2)).toEqual(["daemon-reload", `enable --now ${names.toReversed().join(" ")}`]);
    const config = readFileSync(join(site, "etc/containerd/config.toml"), "utf8");
    expect(config).toContain("[proxy_plugins.uvm-lcow]\n  type = 'sandbox'\n  address = '/run/uvm-shim/lcow.sock'\n");
    expect(config).toContain("containerd.runtimes.uvm-lcow]\n  sandboxer = 'uvm-lcow'\n");
    writeFileSync(asked, "");
    expect(install("--uninstall")).toMatchObject({ status: 0, stderr: "" });
    // The socket first: whoever came to it would start the service again.
    expect(commands().filter((line) => line.startsWith("disable"))).toEqual(
      names.toReversed().map((name) => `disable --now ${name}`),
    );
    writeFileSync(asked, "");
    expect(treeOf(site)).toEqual(before);
  });

  it("without being asked for places none, and has shims serve their pods", () => {
    expect(install("--yes")).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(join(site, "etc/systemd"))).toBe(false);
    expect(readFileSync(join(site, "etc/containerd/config.toml"), "utf8")).toContain("sandboxer = 'shim'");
    expect(commands()).toEqual([]);
  });

  it("does not restart one that has pods when it brings another version", () => {
    expect(install("--with-sandboxer", "--yes")).toMatchObject({ status: 0 });
    const first = unit("uvm-shim-lcow.socket");
    cpSync(unpacked, unpacked.replace("1.0.0", "1.1.0"), { recursive: true });
    unpacked = unpacked.replace("1.0.0", "1.1.0");
    writeFileSync(join(site, "active"), "");
    writeFileSync(asked, "");
    const { status, stdout } = install("--with-sandboxer", "--yes");
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining("systemctl restart") });
    expect(commands()).toEqual(["is-active --quiet uvm-shim-lcow.service", "daemon-reload"]);
    expect(unit("uvm-shim-lcow.socket")).toBe(first);
    expect(install("--uninstall")).toMatchObject({ status: 0 });
    expect(existsSync(join(site, "etc/systemd"))).toBe(false);
  });

  it("leaves units of these names alone that others have made", () => {
    mkdirSync(join(site, "etc/systemd/system"), { recursive: true });
    writeFileSync(join(site, "etc/systemd/system", names[0] as string), "[Service]\n");
    const before = treeOf(site);
    const { status, stderr } = install("--with-sandboxer", "--yes");
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("is there already") });
    writeFileSync(asked, "");
    expect(treeOf(site)).toEqual(before);
  });

  it("says where to enable it when systemd does not run", () => {
    program(join(site, "programs/systemctl"), "exit 1");
    const { status, stderr } = install("--with-sandboxer", "--yes");
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining("systemd does not run here") });
    expect(install("--uninstall")).toMatchObject({ status: 0 });
    expect(existsSync(join(site, "etc/systemd"))).toBe(false);
  });
});

itWith("the units of the sandboxer, as systemd reads them", "systemd-analyze")(
  "the units of the sandboxer are those that systemd takes, without a warning",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "units-"));
    const executable = join(folder, "containerd-shim-lcow-v2");
    program(executable, "exit 0");
    const files = names.map((name) => {
      const text = readFileSync(join(units, name), "utf8");
      writeFileSync(join(folder, name), text.replace("/usr/local/bin/containerd-shim-lcow-v2", executable));
      return join(folder, name);
    });
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", ...files], {
      encoding: "utf8",
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:` },
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  },
);

it("the sockets of the units are those at which a sandboxer serves if nobody says otherwise", async () => {
  const text = readFileSync(join(units, "uvm-shim-lcow.socket"), "utf8");
  const listed = [...text.matchAll(/^ListenStream=(.*)$/gm)].map(([, path]) => path);
  const { standardSocket, controlOf } = await import("../../../packages/shim/src/program/sandboxer-address.ts");
  const socket = standardSocket("lcow", "linux");
  expect(listed).toEqual([socket, controlOf(socket)]);
});
