/** A real systemd as process 1 of namespaces of its own, with the units of a release and the suite as one more of them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, runCommand } from "@uvm-shim/test-support/command";
import { DISTRIBUTION, HOST_ENVIRONMENT, SHIM_PROGRAM } from "../support/programs.ts";

export const SERVICE = "uvm-shim-lcow.service";
export const SOCKETS = "uvm-shim-lcow.socket";
/** Says to the suite, which systemd starts, where everything is. */
export const UNDER_SYSTEMD = "UVM_SHIM_TEST_UNDER_SYSTEMD";

const SYSTEMD = "/lib/systemd/systemd";
const PACKAGING = fileURLToPath(new URL("../../../packaging/systemd/", import.meta.url));
/** All that the units name; those of a distribution would start what this namespace has no use for. */
const TARGETS = [
  "sysinit",
  "basic",
  "sockets",
  "multi-user",
  "shutdown",
  "umount",
  "final",
  "timers",
  "paths",
  "slices",
];

/** Where the parts of the suite that run inside and outside find each other's files. */
export interface ManagerFolder {
  readonly directory: string;
  /** What the suite prints inside. */
  readonly output: string;
  /** The sandboxer's log. */
  readonly log: string;
  /** The sandboxer's settings, which the unit names. */
  readonly settings: string;
}

export function managerFolder(directory: string): ManagerFolder {
  const [output, log, settings] = ["output", "sandboxer.log", "lcow.toml"].map((name) => join(directory, name));
  assert.ok(output !== undefined && log !== undefined && settings !== undefined);
  return { directory, output, log, settings };
}

/** Runs the program inside, as a unit that systemd ends with; returns its exit code. */
export async function runUnderSystemd(
  folder: ManagerFolder,
  program: string,
  args: readonly string[],
): Promise<number> {
  const { directory } = folder;
  const own = join(directory, "units");
  const distribution = join(directory, "distribution");
  const programs = join(directory, "programs");
  for (const path of [own, distribution, programs, join(own, `${SERVICE}.d`)]) mkdirSync(path);
  for (const target of TARGETS) {
    const lines = ["[Unit]", `Description=${target}`, "DefaultDependencies=no"];
    writeFileSync(join(distribution, `${target}.target`), `${lines.join("\n")}\n`);
  }
  for (const name of [SERVICE, SOCKETS]) writeFileSync(join(own, name), readFileSync(join(PACKAGING, name)));
  writeFileSync(join(own, `${SERVICE}.d`, "suite.conf"), dropIn(folder));
  writeFileSync(join(own, "suite.service"), suiteUnit(folder, program, args));
  const settle = [
    "mount -t tmpfs tmpfs /run && mkdir /run/systemd /run/lock /run/cgroup",
    // systemd makes the whole file system of this folder read-only, which is the machine's if it is not another one.
    "mount -t tmpfs tmpfs /run/cgroup",
    'for each in /sys/fs/cgroup/*/; do n=$(basename "$each"); mkdir "/run/cgroup/$n"; mount --bind "$each" "/run/cgroup/$n"; done',
    "mount --move /run/cgroup /sys/fs/cgroup",
    // Nor is it to change the machine's settings.
    "for each in fs kernel; do mount --bind /proc/sys/$each /proc/sys/$each; mount -o remount,bind,ro /proc/sys/$each; done",
    `mount --bind ${own} /etc/systemd/system`,
    `mount --bind ${distribution} /lib/systemd/system`,
    "mount -t tmpfs tmpfs /lib/systemd/system-generators",
    // As install.sh places it.
    `ln -s ${join(DISTRIBUTION, SHIM_PROGRAM)} ${programs}/`,
    `mount -t overlay -o lowerdir=${programs}:/usr/local/bin overlay /usr/local/bin`,
    `exec ${SYSTEMD} --system --unit=suite.service --show-status=no`,
  ];
  const child = spawn(
    "unshare",
    [..."--pid --mount --fork --kill-child --mount-proc sh -c".split(" "), settle.join(" && ")],
    // By `container` it knows that it may not do to the machine what it does as its first process.
    { env: { ...process.env, container: "suite" }, stdio: ["ignore", "inherit", "inherit"] },
  );
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/** What docs/sandboxer.md has an operator write, and where this suite looks. */
function dropIn({ settings, log }: ManagerFolder): string {
  return [
    "[Service]",
    "ExecStart=",
    `ExecStart=/usr/local/bin/${SHIM_PROGRAM} -config ${settings} sandboxer`,
    ...Object.entries(HOST_ENVIRONMENT).map(([name, value]) => `Environment=${name}=${value}`),
    `StandardError=append:${log}`,
    "",
  ].join("\n");
}

function suiteUnit({ directory, output }: ManagerFolder, program: string, args: readonly string[]): string {
  const kept = Object.entries(process.env).filter(([name]) => /^(?:PATH|HOME|TMPDIR|LANG|UVM_SHIM_.*)$/.test(name));
  const command = [process.execPath, fileURLToPath(program), ...args].map((word) => JSON.stringify(word));
  return [
    "[Unit]",
    "Description=The suite",
    "Requires=basic.target",
    "After=basic.target",
    "SuccessAction=exit-force",
    "FailureAction=exit-force",
    "[Service]",
    "Type=oneshot",
    `WorkingDirectory=${process.cwd()}`,
    ...kept.map(([name, value]) => `Environment=${JSON.stringify(`${name}=${value}`)}`),
    `Environment=${UNDER_SYSTEMD}=${directory}`,
    // A dollar or a percent sign would mean something to systemd.
    `ExecStart=${command.join(" ").replaceAll("$", "$$$$").replaceAll("%", "%%")}`,
    `StandardOutput=append:${output}`,
    `StandardError=append:${output}`,
    "TimeoutStartSec=infinity",
    "",
  ].join("\n");
}

/** Asks the systemd that runs here; throws when it refuses. */
export async function systemctl(...args: readonly string[]): Promise<string> {
  const result = await runCommand("systemctl", ["--no-pager", ...args], { timeoutMs: 60_000 });
  if (result.status !== 0) throw new Error(describe(result));
  return result.stdout.toString().trim();
}

/** What systemd knows of a unit, by the names of `systemctl show`. */
export async function propertyOf(unit: string, name: string): Promise<string> {
  return await systemctl("show", unit, "--property", name, "--value");
}
