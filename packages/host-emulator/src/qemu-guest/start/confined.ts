/** Starts QEMU where it finds nothing of this machine but what it is given as descriptors. */
import { closeSync, mkdirSync, openSync, readFileSync, realpathSync, rmdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import {
  DescriptorSocket,
  MNT_DETACH,
  makeCharNode,
  mount,
  mountFlags,
  moveMount,
  openTree,
  pivotRoot,
  setMountReadOnly,
  umount,
  unixSocketPair,
  withMountNamespace,
} from "@uvm-shim/linux-calls";
import { HcsFailure } from "../../hcs-failure.ts";
import { findProgram, programFolders } from "../../process-guest/guest-image.ts";
import { killIfAlive } from "../../process-guest/leftovers.ts";
import type { QemuInstallation } from "./installation.ts";
import { Tail } from "./tail.ts";

const { MS_BIND, MS_NOEXEC, MS_NOSUID } = mountFlags;

/** What a confined QEMU is started with. */
export interface ConfinedStart {
  readonly installation: QemuInstallation;
  readonly parameters: readonly string[];
  /** Descriptors from 6 on, which the caller keeps; copies of them are all that the program gets. */
  readonly descriptors: readonly number[];
  /** The cgroup.procs files of its cgroups. */
  readonly entrances: readonly string[];
  /** A folder that this makes and removes; the program's root appears in it for nobody else. */
  readonly mountPoint: string;
  /** User and group id, which nobody else should have. */
  readonly user: number;
  readonly withKvm: boolean;
}

/** How a program ended. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A QEMU that has been started. */
export interface RunningQemu {
  /** Of its monitor; the caller owns it. */
  readonly monitor: DescriptorSocket;
  /** The end of what the guest has written to its console. */
  readonly console: Tail;
  /** The end of what QEMU itself has said. */
  readonly diagnostics: Tail;
  /** Resolves when it has ended and all its output has come. */
  readonly ended: Promise<ProgramEnd>;
  /** Ends it at once. Repeatable. */
  kill(): void;
}

const powerDescriptor = 3;
const consoleDescriptor = 5;
/** Enters the cgroups of the files before "--", then runs the program after it. */
const enterAndRun = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';
/** Says that the namespaces are there, and waits for the new root. With the end of this process it ends as well. */
const waitAndRun = `echo in >&${powerDescriptor}; read -r go <&${powerDescriptor} || exit 125; exec ${powerDescriptor}>&-; exec "$@"`;
const inside = "in\n";
const consoleTailBytes = 4_000;
export const kvmDevice = { major: 10, minor: 232 };

/**
 * Starts a QEMU with namespaces of its own and a root of its own: its own files read-only, and devices without which it
 * cannot work. It has no user or group of this machine, no capabilities, and cannot get any. It ends when this process
 * does in any way.
 */
export async function startConfined(start: ConfinedStart): Promise<RunningQemu> {
  const { libraryFolder } = start.installation;
  const libraryPath = libraryFolder === undefined ? {} : { LD_LIBRARY_PATH: libraryFolder };
  const [ours, theirs] = unixSocketPair();
  const monitor = new DescriptorSocket(ours, 1);
  let child: ChildProcess;
  try {
    child = await startProgram("/bin/sh", ["-c", enterAndRun, "sh", ...start.entrances, "--", ...commandOf(start)], {
      cwd: "/",
      env: { PATH: programFolders.join(":"), LC_ALL: "C", ...libraryPath },
      stdio: ["ignore", "pipe", "pipe", "pipe", theirs, "pipe", ...start.descriptors],
    });
  } catch (error) {
    monitor.close();
    throw error;
  } finally {
    closeSync(theirs);
  }
  const diagnostics = new Tail(consoleTailBytes);
  const console = new Tail(consoleTailBytes);
  diagnostics.follow(child.stdout as Readable);
  diagnostics.follow(child.stderr as Readable);
  console.follow(child.stdio[consoleDescriptor] as Duplex);
  const ended = new Promise<ProgramEnd>((resolve) => {
    child.once("close", (code, signal) => resolve(endOf(code, signal, diagnostics.text)));
  });
  const kill = (): void => killWithNamespaces(child);
  try {
    await settle(child, start, diagnostics, ended);
  } catch (error) {
    kill();
    monitor.close();
    await ended;
    throw error;
  }
  return { monitor, console, diagnostics, ended, kill };
}

/** The launchers die with this process, and with them what they have started. */
function commandOf({ installation, parameters, user }: ConfinedStart): readonly string[] {
  const setpriv = utility("setpriv");
  const namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
  const identity = [`--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
  const powerless = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"];
  return [
    ...[setpriv, "--pdeathsig=KILL", utility("unshare"), "--fork", "--kill-child=KILL", "--mount-proc", ...namespaces],
    // A change of the user takes the kernel's promise back that the child dies with its parent.
    ...["--", setpriv, ...identity, ...powerless, "--pdeathsig=KILL", "/bin/sh", "-c", waitAndRun, "sh"],
    ...[installation.program, ...parameters],
  ];
}

/** unshare of util-linux 2.38 cannot die of SIGKILL as its child did, says so, and exits with 1. */
function endOf(code: number | null, signal: NodeJS.Signals | null, said: string): ProgramEnd {
  const wasKilled = code === 1 && /^unshare: .*unblock failed.*\n$/m.test(said);
  return wasKilled ? { code: null, signal: "SIGKILL" } : { code, signal };
}

/** Waits for the namespaces, and puts the new root into them. */
async function settle(
  child: ChildProcess,
  start: ConfinedStart,
  diagnostics: Tail,
  ended: Promise<ProgramEnd>,
): Promise<void> {
  const power = child.stdio[powerDescriptor] as Duplex;
  power.on("error", () => {});
  const heard = new Promise<string>((resolve) => {
    let said = "";
    power.on("data", (chunk: Buffer) => {
      said += chunk.toString("latin1");
      if (said.length >= inside.length) resolve(said);
    });
  });
  const said = await Promise.race([heard, ended.then(() => "")]);
  const init = childOf(child);
  if (said !== inside || init === undefined) {
    throw new HcsFailure("HCS_E_UNEXPECTED_EXIT", `QEMU could not be confined: ${diagnostics.text.trim()}`);
  }
  mkdirSync(start.mountPoint);
  try {
    withMountNamespace(init, () => changeRoot(start));
  } finally {
    rmdirSync(start.mountPoint);
  }
  power.end("go\n");
}

/** Runs in the mount namespace of the program, whose processes all get the new root. */
function changeRoot({ installation: { folders, files }, mountPoint, withKvm }: ConfinedStart): void {
  mount("qemu", mountPoint, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m");
  const at = (name: string): string => join(mountPoint, name);
  for (const name of ["dev", "old", "proc"]) mkdirSync(at(name));
  for (const folder of folders) {
    mkdirSync(at(folder), { recursive: true });
    attachReadOnly(folder, at(folder));
  }
  for (const file of files) {
    mkdirSync(dirname(at(file)), { recursive: true });
    closeSync(openSync(at(file), "a"));
    // A link would lead elsewhere in the new root.
    attachReadOnly(realpathSync(file), at(file));
  }
  mount("/proc", at("proc"), "", MS_BIND);
  const umask = process.umask(0);
  try {
    makeCharNode(at("dev/null"), 1, 3, 0o666);
    makeCharNode(at("dev/urandom"), 1, 9, 0o444);
    if (withKvm) makeCharNode(at("dev/kvm"), kvmDevice.major, kvmDevice.minor, 0o666);
  } finally {
    process.umask(umask);
  }
  pivotRoot(mountPoint, at("old"));
  umount("/old", MNT_DETACH);
  rmdirSync("/old");
  setMountReadOnly("/");
}

function attachReadOnly(source: string, target: string): void {
  const tree = openTree(source);
  try {
    setMountReadOnly(tree);
    moveMount(tree, target);
  } finally {
    closeSync(tree);
  }
}

function utility(name: string): string {
  const path = findProgram(name);
  if (path !== undefined && statSync(path).isFile()) return path;
  throw new HcsFailure("ERROR_FILE_NOT_FOUND", `program ${name} not found: install the Debian package util-linux`);
}

/** The launcher ends with its child; if it were killed first, the child could outlive the "close" event. */
function killWithNamespaces(child: ChildProcess): void {
  const init = childOf(child);
  if (init === undefined) child.kill("SIGKILL");
  else killIfAlive(init);
}

/** Pid on this machine of the only child; undefined before the fork and after the end. */
function childOf(child: ChildProcess): number | undefined {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
  try {
    const pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ")[0]);
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
