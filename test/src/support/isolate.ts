/**
 * Runs a program of this package again in namespaces of its own. Whatever it sees there (processes, mounts, sockets,
 * control groups, /run) is of its own making, so before and after can be compared on a busy machine; and when it is killed, the kernel
 * ends all that it started.
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { searchPath } from "@uvm-shim/test-support/command";
import { deadRunFolders, newRunFolder, removeRunFolder } from "@uvm-shim/test-support/run-folders";
import { type ControlGroup, ControlGroups } from "./control-groups.ts";

const DIRECTORY_VARIABLE = "UVM_SHIM_TEST_DIRECTORY";
const DIRECTORY_PREFIX = "uvm-test-";
/** Of packages/test-support. */
const UNIT_TESTS_PREFIX = "uvm-unit-";
const LIFELINE = 3;
const GRACE_MS = 30_000;
const REPEATED_MS = 500;

export interface Isolation {
  /** A directory for everything that the program makes; removed when the program has ended. */
  readonly directory: string;
  /** Aborted by SIGINT, by SIGTERM, and by the end of the process outside. */
  readonly signal: AbortSignal;
}

/** The isolation that this process runs in; undefined outside. */
export function isolation(): Isolation | undefined {
  const directory = process.env[DIRECTORY_VARIABLE];
  if (directory === undefined) return undefined;
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error("interrupted"));
  process.on("SIGINT", abort);
  process.on("SIGTERM", abort);
  const lifeline = new Socket({ fd: LIFELINE, readable: true, writable: false });
  lifeline.on("end", abort).on("error", abort).resume();
  lifeline.unref();
  return { directory, signal: controller.signal };
}

/** Whether a path is in the directory of another program that runs isolated on this machine, or of its unit tests. */
export function isOfAnotherRun(path: string): boolean {
  const own = process.env[DIRECTORY_VARIABLE];
  if (own === undefined || path.startsWith(`${own}/`)) return false;
  return [DIRECTORY_PREFIX, UNIT_TESTS_PREFIX].some((prefix) => path.startsWith(join(dirname(own), prefix)));
}

/**
 * Runs the program again, isolated, and returns its exit code.
 *
 * @param inMemory whether its directory is a tmpfs, which spares it the disk's waits.
 * @param memoryBytes what all of it together may have of the machine's memory; without a limit when absent.
 */
export async function runIsolated(
  program: string,
  args: readonly string[],
  options: { readonly inMemory: boolean; readonly memoryBytes?: number },
): Promise<number> {
  refuseChroot();
  await removeDeadRuns();
  const directory = newRunFolder(DIRECTORY_PREFIX);
  const controlGroups = new ControlGroups(basename(directory));
  try {
    controlGroups.make();
    if (options.memoryBytes !== undefined) controlGroups.limitMemory(options.memoryBytes);
    return await runInNamespaces([fileURLToPath(program), ...args], directory, controlGroups.groups, options);
  } finally {
    await controlGroups.remove();
    removeRunFolder(directory);
  }
}

/**
 * Runs a suite isolated, in memory, and ends the process: what `inside` has left may go on for ever.
 *
 * @param name for messages.
 * @param program the suite's own `import.meta.url`.
 * @param before what is looked at outside; it throws if the suite cannot be run.
 */
export async function runSuite(
  name: string,
  program: string,
  inside: (isolation: Isolation) => Promise<number>,
  before: () => unknown,
): Promise<never> {
  try {
    const isolated = isolation();
    if (isolated === undefined) {
      await before();
      process.exitCode = await runIsolated(program, process.argv.slice(2), { inMemory: true });
    } else process.exitCode = await inside(isolated);
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  }
  process.exit();
}

/** Removes what runs have left whose outer process was killed; those of which something still runs are left. */
async function removeDeadRuns(): Promise<void> {
  for (const directory of deadRunFolders(DIRECTORY_PREFIX)) {
    const controlGroups = new ControlGroups(basename(directory));
    if (controlGroups.hasProcesses()) continue;
    await controlGroups.remove();
    removeRunFolder(directory);
  }
}

/** Who enters a mount namespace, as the emulated host does, comes to its own root, also from a chroot. */
function refuseChroot(): void {
  const table = "/proc/self/mountinfo";
  const rootMount = (text: string): string | undefined => /^(\d+) \d+ \S+ \S+ \/ /m.exec(text)?.[1];
  const { status, stdout } = spawnSync("nsenter", ["--mount=/proc/self/ns/mnt", "cat", table], {
    encoding: "utf8",
    env: { PATH: searchPath() },
  });
  if (status !== 0 || rootMount(stdout) === rootMount(readFileSync(table, "utf8"))) return;
  throw new Error(
    "this is a chroot, from which the emulated host cannot enter its guests: expected a root folder that is that of " +
      "its mount namespace, as in a container or under systemd-nspawn",
  );
}

async function runInNamespaces(
  args: readonly string[],
  directory: string,
  groups: readonly ControlGroup[],
  options: { readonly inMemory: boolean },
): Promise<number> {
  // The namespace's root is the group that the process is in when it makes the namespace.
  const enter = [
    ...groups.map(({ path }) => `echo $$ > ${path}/cgroup.procs`),
    'exec unshare --cgroup sh -c "$0" "$@"',
  ];
  // This shell is process 1 of the namespace: it reaps the orphans that shims leave to it, which Node does not.
  const settle = [
    ...groups.map(({ seat }) => `echo $$ > ${seat}/cgroup.procs`),
    ...groups.map(({ path, mountPoint }) => `mount --bind ${path} ${mountPoint}`),
    ...["/run", ...(options.inMemory ? [directory] : [])].map((path) => `mount -t tmpfs tmpfs ${path}`),
    '"$0" "$@"; exit $?',
  ];
  const child = spawn(
    "unshare",
    [
      ..."--pid --mount --net --ipc --uts --fork --kill-child --mount-proc sh -c".split(" "),
      enter.join(" && "),
      settle.join(" && "),
      process.execPath,
      ...args,
    ],
    {
      env: { ...process.env, PATH: searchPath(), [DIRECTORY_VARIABLE]: directory },
      stdio: ["inherit", "inherit", "inherit", "pipe"],
    },
  );
  let interrupted: number | undefined;
  const interrupt = (): void => {
    // One Ctrl-C may arrive twice, from the terminal and from a parent that forwards it.
    if (interrupted !== undefined && performance.now() - interrupted > REPEATED_MS) child.kill("SIGKILL");
    interrupted ??= performance.now();
    child.stdio[LIFELINE]?.destroy();
    setTimeout(() => child.kill("SIGKILL"), GRACE_MS).unref();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return await new Promise<number>((resolve, reject) => {
    child.once("error", (cause) => reject(new Error("cannot run unshare: expected the package util-linux", { cause })));
    child.once("close", (code) => resolve(code ?? 1));
  });
}
