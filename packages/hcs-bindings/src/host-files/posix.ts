/**
 * The host's files on a Linux machine: finds layers, and mounts the root file systems of a Linux containerd (overlay,
 * bind, erofs, tmpfs and others) with the programs of util-linux.
 */
import { mkdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { startProgram } from "@uvm-shim/child-processes";
import { abortedError, HostError } from "../host-error.ts";

/** One mount of containerd. `target` is a directory below the target of the whole list. */
export interface FileSystemMount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}

/** A program of util-linux that changes the host's mounts. */
export interface ProgramRun {
  readonly program: "mount" | "umount";
  readonly arguments: readonly string[];
  readonly directory: string;
}

/** What the host files of a Linux machine need of their surroundings. */
export interface PosixHostFilesOptions {
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Runs a program to its end; returns its exit code and its stderr. */
  run?(run: ProgramRun): Promise<{ readonly status: number; readonly stderr: string }>;
}

/** What is asked of, and done to, the files of a Linux machine. */
export interface PosixHostFiles {
  kind(path: string): Promise<"file" | "directory" | "block" | "other" | undefined>;
  realPath(path: string): Promise<string>;
  /** Whether there are mounts below a real path. */
  hasMountsBelow(path: string): Promise<boolean>;
  /** The block device with this number, at the kernel's name for it or at `path`; undefined if neither is its node. */
  blockDevice(
    device: { readonly major: number; readonly minor: number },
    path: string,
  ): Promise<{ readonly path: string; readonly isNamed: boolean } | undefined>;
  /** Whether later mounts below a real path propagate to copies of its mount. */
  showsLaterMounts(path: string): Promise<boolean>;
  /** Those of nosuid, nodev and noexec that the mount of a real path has. */
  mountFlags(path: string): Promise<readonly string[]>;
  /**
   * Mounts the list in order, at the target or below it. Creates the target if it is missing; it must have no mounts.
   * When a mount fails, or the signal aborts between two mounts, the earlier ones are unmounted.
   */
  mountAll(mounts: readonly FileSystemMount[], target: string, signal?: AbortSignal): Promise<void>;
  /** Unmounts everything at and below the target, lazily if it is in use. Succeeds if nothing is mounted. */
  unmountAll(target: string): Promise<void>;
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Succeeds if the file does not exist. */
  removeFile(path: string): Promise<void>;
}

/** ELOOP and ENAMETOOLONG as printed in the C locale: the path of a source or a layer is invalid. */
const pathFaults = /too many levels of symbolic links|file name too long/i;
/** mount(2) takes options of at most one page. No page is smaller than 4096 bytes; mount itself may add some options. */
const dataLimit = 4096 - 512;
/** Each stacked mount takes a round. After this many rounds, another process must be mounting in parallel. */
const unmountRounds = 64;

/** The host files of a Linux machine; mounts are made by mount(8), which needs root. */
export function createPosixHostFiles({ grantVmAccess, run = runProgram }: PosixHostFilesOptions): PosixHostFiles {
  async function mountOne(mount: FileSystemMount, root: string): Promise<void> {
    const point = await mountPoint(mount, root);
    const plan = planMount(mount, root);
    const { status, stderr } = await run({
      program: "mount",
      arguments: [...plan.arguments, "--", mount.source === "" ? "none" : mount.source, point],
      directory: plan.directory,
    });
    if (status === 0) return;
    const code = pathFaults.test(stderr) ? "InvalidArgument" : "Internal";
    const where = code === "Internal" ? "" : "rootfs: ";
    throw mountError(code, `${where}${describe(mount)} at ${point}: ${stderr.trim()}`, root);
  }

  async function unmountAll(target: string): Promise<void> {
    const root = await resolveTarget(target);
    if (root === undefined) return;
    let failures: string[] = [];
    for (let round = 0; round < unmountRounds; round++) {
      const points = await mountPointsAt(root);
      if (points.length === 0) return;
      failures = [];
      for (const point of points.toReversed()) {
        const orderly = await run({ program: "umount", arguments: ["-c", "--", point], directory: "/" });
        if (orderly.status === 0) continue;
        const lazy = await run({ program: "umount", arguments: ["-c", "-l", "--", point], directory: "/" });
        if (lazy.status !== 0) failures.push(`${point}: ${lazy.stderr.trim()}`);
      }
      // If nothing could be unmounted, another round would fail as well.
      if (failures.length === points.length) break;
    }
    const left = await mountPointsAt(root);
    if (left.length === 0) return;
    const why = failures.length === 0 ? `${left.join(", ")} was mounted again after each unmount` : failures.join("; ");
    throw new HostError("Internal", `still mounted: ${why}`, { operation: "unmount", id: root });
  }

  return {
    grantVmAccess,
    unmountAll,
    realPath: (path) => realpath(path),
    removeFile: (path) => rm(path, { force: true }),

    async hasMountsBelow(path) {
      return (await mountPointsAt(path)).some((point) => point !== path);
    },

    async blockDevice(device, path) {
      const isNamed = await isNodeOf(path, device);
      const name = await kernelName(device);
      if (name !== undefined && (await isNodeOf(`/dev/${name}`, device))) return { path: `/dev/${name}`, isNamed };
      return isNamed ? { path: await realpath(path), isNamed } : undefined;
    },

    async showsLaterMounts(path) {
      return (await mountOf(path))?.propagates ?? false;
    },

    async mountFlags(path) {
      return (await mountOf(path))?.flags ?? [];
    },

    async kind(path) {
      try {
        const found = await stat(path);
        if (found.isFile()) return "file";
        if (found.isDirectory()) return "directory";
        return found.isBlockDevice() ? "block" : "other";
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },

    async mountAll(mounts, target, signal) {
      await makeDirectories(target);
      const root = await realpath(target);
      const present = await mountPointsAt(root);
      if (present.length > 0) {
        throw mountError("FailedPrecondition", `already mounted: ${present.join(", ")}; expected no mounts`, root);
      }
      try {
        for (const mount of mounts) {
          // A running mount is not interrupted, as it would be unknown whether it took effect.
          if (signal?.aborted) throw abortedError(signal, "cancelled", { operation: "mount", id: root });
          await mountOne(mount, root);
        }
      } catch (error) {
        await undo(error, () => unmountAll(root));
      }
    },
  };
}

/** Rethrows the error, with a note if undoing failed too. */
async function undo(error: unknown, undoing: () => Promise<void>): Promise<never> {
  try {
    await undoing();
  } catch (undoError) {
    if (error instanceof Error) error.message += ` (undoing the mounts failed too: ${String(undoError)})`;
  }
  throw error;
}

/** The mount point: the root, or an existing directory whose real path is below it. */
async function mountPoint(mount: FileSystemMount, root: string): Promise<string> {
  if (mount.target === undefined || mount.target === "") return root;
  let point: string;
  try {
    point = await realpath(join(root, mount.target));
  } catch (cause) {
    throw mountError("InvalidArgument", `target "${mount.target}" of ${describe(mount)} does not exist`, root, cause);
  }
  // An image can contain symbolic links that lead out of the root.
  if (!isAtOrBelow(point, root)) {
    throw mountError(
      "InvalidArgument",
      `target "${mount.target}" of ${describe(mount)} resolves to ${point}, outside the root`,
      root,
    );
  }
  return point;
}

interface MountPlan {
  readonly arguments: readonly string[];
  /** Working directory of `mount`; lower directories of an overlay may be relative to it. */
  readonly directory: string;
}

/** Translates containerd's type and options into arguments of `mount`. */
function planMount(mount: FileSystemMount, root: string): MountPlan {
  for (const option of mount.options) {
    if (option.startsWith("X-containerd.")) {
      throw mountError(
        "InvalidArgument",
        `option "${option}" is not supported: only containerd's mount manager handles it`,
        root,
      );
    }
    if (option.startsWith("uidmap=") || option.startsWith("gidmap=")) {
      throw mountError("Unimplemented", `option "${option}": id-mapped mounts are not supported`, root);
    }
  }
  const saysBind = mount.options.some((option) => option === "bind" || option === "rbind");
  const isBind = saysBind || mount.type === "bind";
  const options = isBind && !saysBind ? ["bind", ...mount.options] : mount.options;
  const { directory, options: fitting } = fitOptions(mount.type, options, root);
  return {
    directory,
    arguments: [
      "-n",
      "-c",
      ...(isBind ? [] : [`--types=${mount.type}`]),
      ...(fitting.length === 0 ? [] : [`--options=${fitting.join(",")}`]),
    ],
  };
}

interface FittingOptions {
  readonly directory: string;
  readonly options: readonly string[];
}

/** Makes long overlay options fit a page: lower directories become relative to their common parent. */
function fitOptions(type: string, options: readonly string[], root: string): FittingOptions {
  const size = optionsSize(options);
  if (size < dataLimit) return { directory: "/", options };
  const shortened = type === "overlay" ? shortenLowerDirectories(options) : undefined;
  if (shortened !== undefined && optionsSize(shortened.options) < dataLimit) return shortened;
  throw mountError("InvalidArgument", `mount options too long: ${size} bytes, expected fewer than ${dataLimit}`, root);
}

const lowerPrefix = "lowerdir=";

function shortenLowerDirectories(options: readonly string[]): FittingOptions | undefined {
  const lower = options.find((option) => option.startsWith(lowerPrefix));
  // A colon within a path is escaped; a separator is not.
  const paths = lower?.slice(lowerPrefix.length).split(/(?<!\\):/) ?? [];
  // Escaped paths would have to be unescaped first. Snapshotters, which make such long lists, never escape.
  if (paths.length < 2 || paths.some((path) => !path.startsWith("/") || path.includes("\\"))) return undefined;
  const directory = paths.map((path) => dirname(path)).reduce(commonDirectory);
  if (directory === "/") return undefined;
  const relative = paths.map((path) => path.slice(directory.length + 1)).join(":");
  return { directory, options: options.map((option) => (option === lower ? lowerPrefix + relative : option)) };
}

function commonDirectory(left: string, right: string): string {
  let common = left;
  while (!isAtOrBelow(right, common)) common = dirname(common);
  return common;
}

function optionsSize(options: readonly string[]): number {
  return Buffer.byteLength(options.join(","));
}

function isAtOrBelow(path: string, root: string): boolean {
  return path === root || root === "/" || path.startsWith(`${root}/`);
}

/** The mount points at and below a directory in mount order, one entry for each stacked mount. */
async function mountPointsAt(root: string): Promise<readonly string[]> {
  return parseMountPoints(await readFile("/proc/self/mountinfo", "utf8")).filter((point) => isAtOrBelow(point, root));
}

/** The mount that contains a real path. */
async function mountOf(path: string): Promise<MountLine | undefined> {
  const isAbove = ({ point }: MountLine): boolean => isAtOrBelow(path, point);
  const above = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8")).filter(isAbove);
  // The last of several stacked mounts is the visible one.
  const longest = Math.max(...above.map(({ point }) => point.length));
  return above.findLast(({ point }) => point.length === longest);
}

/** Flags that a bind mount inherits from the mount of its source, and a mount in the guest would not have. */
const inheritedFlags: ReadonlySet<string> = new Set(["nosuid", "nodev", "noexec"]);

interface MountLine {
  readonly point: string;
  readonly flags: readonly string[];
  /** Whether it is shared or a slave. */
  readonly propagates: boolean;
}

/** Mount points of a mountinfo text: the fifth field, with blanks and backslashes as octal escapes (proc(5)). */
export function parseMountPoints(text: string): readonly string[] {
  return parseMountinfo(text).map(({ point }) => point);
}

function parseMountinfo(text: string): readonly MountLine[] {
  return text.split("\n").flatMap((line) => {
    const [, , , , field, options = "", ...others] = line.split(" ");
    if (field === undefined) return [];
    const point = field.replace(/\\([0-7]{3})/g, (_match, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    const optional = others.slice(0, others.indexOf("-"));
    const flags = options.split(",").filter((option) => inheritedFlags.has(option));
    return [{ point, flags, propagates: optional.some((tag) => /^(shared|master):\d+$/.test(tag)) }];
  });
}

async function isNodeOf(
  path: string,
  { major, minor }: { readonly major: number; readonly minor: number },
): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (found?.isBlockDevice() !== true) return false;
  // makedev(3)
  return ((found.rdev >> 8) & 0xfff) === major && ((found.rdev & 0xff) | ((found.rdev >> 12) & 0xfff00)) === minor;
}

/** Name below /dev; undefined if the kernel has no such device. */
async function kernelName(device: { readonly major: number; readonly minor: number }): Promise<string | undefined> {
  try {
    const text = await readFile(`/sys/dev/block/${device.major}:${device.minor}/uevent`, "utf8");
    return /^DEVNAME=(.+)$/m.exec(text)?.[1];
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The path of the target in mountinfo; undefined if it does not exist. */
async function resolveTarget(target: string): Promise<string | undefined> {
  try {
    return await realpath(target);
  } catch (error) {
    if (isMissing(error)) return undefined;
    // A mount whose server is gone cannot be resolved, but it can be unmounted.
    return join(await realpath(dirname(target)), basename(target));
  }
}

/** Node's recursive mkdir never returns on a file system that rejects new directories with ENOENT, such as /proc. */
async function makeDirectories(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    await makeDirectories(dirname(path));
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== "EEXIST") throw again;
    });
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ENOTDIR";
}

function describe(mount: FileSystemMount): string {
  return `${mount.type} mount of "${mount.source}"`;
}

function mountError(
  code: "InvalidArgument" | "Unimplemented" | "FailedPrecondition" | "Internal",
  message: string,
  root: string,
  cause?: unknown,
): HostError {
  return new HostError(code, message, { operation: "mount", id: root, cause });
}

/** Limit of kept stderr, in characters. */
const stderrLimit = 8192;

async function runProgram(run: ProgramRun): Promise<{ status: number; stderr: string }> {
  const child = await startProgram(run.program, run.arguments, {
    cwd: run.directory,
    stdio: ["ignore", "ignore", "pipe"],
    // fsconfig(2) rejects options longer than 255 bytes, so mount(2) is used. The C locale keeps messages parseable.
    env: { ...process.env, LIBMOUNT_FORCE_MOUNT2: "always", LC_ALL: "C" },
  }).catch((cause: Error) => {
    const message = `cannot start the program: ${cause.message}`;
    throw new HostError("Unavailable", message, { operation: "run", id: run.program, cause });
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (piece: string) => {
    stderr = (stderr + piece).slice(0, stderrLimit);
  });
  return await new Promise((resolve) => {
    child.on("close", (status, killedBy) => resolve({ status: status ?? 1, stderr: killedBy ?? stderr }));
  });
}
