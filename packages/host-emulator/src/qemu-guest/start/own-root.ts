/** Starts programs where they find nothing of this machine but what they are given. */
import { closeSync, mkdirSync, openSync, readFileSync, realpathSync, rmdirSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Duplex, Readable, Writable } from "node:stream";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import { abortable } from "@uvm-shim/lifecycle";
import {
  MNT_DETACH,
  makeCharNode,
  mount,
  mountFlags,
  moveMount,
  openTree,
  pivotRoot,
  setMountReadOnly,
  umount,
  withMountNamespace,
} from "@uvm-shim/linux-calls";
import { HcsFailure } from "../../hcs-failure.ts";
import { findProgram, programFolders } from "../../process-guest/guest-image.ts";
import { killIfAlive } from "../../process-guest/leftovers.ts";
import type { ProgramInstallation } from "./installation.ts";
import { Tail } from "./tail.ts";

const { MS_BIND, MS_NOEXEC, MS_NOSUID } = mountFlags;

/** A character device that a program may open. */
export interface OpenDevice {
  readonly name: string;
  readonly major: number;
  readonly minor: number;
}

/** A folder of this machine at a place in a program's root. */
export interface ShownFolder {
  readonly path: string;
  /** In the root, beginning with a slash. */
  readonly target: string;
  readonly readOnly: boolean;
  /** Paths below the folder: these alone are there. All by default. */
  readonly files?: readonly string[] | undefined;
}

/** A program with a root and namespaces of its own. */
export interface OwnRootStart {
  readonly installation: ProgramInstallation;
  readonly parameters: readonly string[];
  /** Of the program, without 3; 1 and 2 may be pipes for its words. */
  readonly stdio: readonly [StdioEntry, StdioEntry, StdioEntry, ...StdioEntry[]];
  /** The options of setpriv for its user and capabilities. */
  readonly identity: readonly string[];
  /** The cgroup.procs files of its cgroups. */
  readonly entrances: readonly string[];
  /** A folder that this makes and removes; the program's root appears in it for nobody else. */
  readonly mountPoint: string;
  readonly devices: readonly OpenDevice[];
  /** Whether it sees its own processes; the kernel's settings come with them. */
  readonly withProc: boolean;
  readonly shown: readonly ShownFolder[];
  /** Ends the start, not the program. */
  readonly signal: AbortSignal;
}

type StdioEntry = "ignore" | "pipe" | number | Socket;

/** How a program ended. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that has been started. */
export interface OwnRootProgram {
  /** From 4 on, the ends of pipes. */
  readonly streams: readonly (Readable | Writable | null | undefined)[];
  /** The end of what it has said on its pipes. */
  readonly diagnostics: Tail;
  /** Resolves when it has ended and all its output has come. */
  readonly ended: Promise<ProgramEnd>;
  /** Ends it at once. Repeatable. */
  kill(): void;
}

const powerDescriptor = 3;
/** Enters the cgroups of the files before "--", then runs the program after it. */
const enterAndRun = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';
/** Says that the namespaces are there, and waits for the new root. With the end of this process it ends as well. */
const waitAndRun = `echo in >&${powerDescriptor}; read -r go <&${powerDescriptor} || exit 125; exec ${powerDescriptor}>&-; exec "$@"`;
const inside = "in\n";
const tailBytes = 4_000;
const basicDevices: readonly OpenDevice[] = [
  { name: "null", major: 1, minor: 3 },
  { name: "urandom", major: 1, minor: 9 },
];

/** Starts a program in a root that has its own files, read-only, and what is shown to it. It ends when this process does. */
export async function startInOwnRoot(start: OwnRootStart): Promise<OwnRootProgram> {
  const { installation, entrances, stdio, signal } = start;
  const { libraryFolder } = installation;
  const libraryPath = libraryFolder === undefined ? {} : { LD_LIBRARY_PATH: libraryFolder };
  const [input, output, errors, ...more] = stdio;
  signal.throwIfAborted();
  const child = await startProgram("/bin/sh", ["-c", enterAndRun, "sh", ...entrances, "--", ...commandOf(start)], {
    cwd: "/",
    env: { PATH: programFolders.join(":"), LC_ALL: "C", ...libraryPath },
    stdio: [input, output, errors, "pipe", ...more],
  });
  const diagnostics = new Tail(tailBytes);
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) diagnostics.follow(stream);
  const ended = new Promise<ProgramEnd>((resolve) => {
    child.once("close", (code, signal) => resolve(endOf(code, signal, diagnostics.text)));
  });
  const kill = (): void => killWithNamespaces(child);
  try {
    await settle(child, start, diagnostics, ended);
  } catch (error) {
    kill();
    await ended;
    throw error;
  }
  return { streams: child.stdio, diagnostics, ended, kill };
}

/** The launchers die with this process, and with them what they have started. */
function commandOf({ installation, parameters, identity }: OwnRootStart): readonly string[] {
  const setpriv = utility("setpriv");
  const namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
  return [
    ...[setpriv, "--pdeathsig=KILL", utility("unshare"), "--fork", "--kill-child=KILL", "--mount-proc", ...namespaces],
    // A change of the user takes the kernel's promise back that the child dies with its parent.
    ...["--", setpriv, ...identity, "--no-new-privs", "--pdeathsig=KILL", "/bin/sh", "-c", waitAndRun, "sh"],
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
  start: OwnRootStart,
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
  const said = await abortable(Promise.race([heard, ended.then(() => "")]), start.signal);
  const init = childOf(child);
  if (said !== inside || init === undefined) {
    const { program } = start.installation;
    throw new HcsFailure("HCS_E_UNEXPECTED_EXIT", `${program} could not be confined: ${diagnostics.text.trim()}`);
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
function changeRoot({ installation: { folders, files }, mountPoint, devices, withProc, shown }: OwnRootStart): void {
  mount("root", mountPoint, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m");
  const at = (name: string): string => join(mountPoint, name);
  for (const name of ["dev", "old", "proc"]) mkdirSync(at(name));
  for (const path of folders) showFolder({ path, target: at(path), readOnly: true });
  // A link would lead elsewhere in the new root.
  for (const file of files) showFile(realpathSync(file), at(file), true);
  for (const folder of shown) showFolder({ ...folder, target: at(folder.target) });
  if (withProc) mount("/proc", at("proc"), "", MS_BIND);
  const umask = process.umask(0);
  try {
    for (const { name, major, minor } of [...basicDevices, ...devices]) {
      makeCharNode(at(`dev/${name}`), major, minor, 0o666);
    }
  } finally {
    process.umask(umask);
  }
  pivotRoot(mountPoint, at("old"));
  umount("/old", MNT_DETACH);
  rmdirSync("/old");
  setMountReadOnly("/");
}

function showFolder({ path, target, readOnly, files }: ShownFolder): void {
  mkdirSync(target, { recursive: true });
  if (files === undefined) attachTree(path, target, readOnly);
  for (const name of files ?? []) {
    const source = join(path, name);
    if (statSync(source).isDirectory()) showFolder({ path: source, target: join(target, name), readOnly });
    else showFile(source, join(target, name), readOnly);
  }
}

function showFile(source: string, target: string, readOnly: boolean): void {
  mkdirSync(dirname(target), { recursive: true });
  closeSync(openSync(target, "a"));
  attachTree(source, target, readOnly);
}

function attachTree(source: string, target: string, readOnly: boolean): void {
  const tree = openTree(source);
  try {
    if (readOnly) setMountReadOnly(tree);
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
