/**
 * Temporary folders that record their owner: a folder whose process is gone, however it ended, is removed by the next
 * process that makes one with the same prefix.
 */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

const ownerFile = ".owner";
const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Makes a folder, which the caller removes. Folders of dead processes with the same prefix are removed first. */
export function makeRunFolder(prefix: string, parent = tmpdir()): string {
  for (const folder of deadRunFolders(prefix, parent)) removeRunFolder(folder);
  return newRunFolder(prefix, parent);
}

/** Makes a folder the temporary one of this process and its children, and removes it at the end, even on a signal. */
export function useRunFolder(prefix: string): string {
  const folder = makeRunFolder(prefix);
  process.env.TMPDIR = folder;
  process.on("exit", () => removeRunFolder(folder));
  for (const [name, number] of Object.entries(signals)) {
    process.once(name, () => {
      // Another listener decides when the process ends.
      if (process.listenerCount(name) === 0) process.exit(128 + number);
    });
  }
  return folder;
}

/** As `makeRunFolder`, but removes nothing: for callers that remove more than the folders of dead processes. */
export function newRunFolder(prefix: string, parent = tmpdir()): string {
  // It gets its name once it has its owner: before, it would look like a folder without one.
  const unnamed = mkdtempSync(join(parent, `.${prefix}`));
  if (process.platform === "linux") writeFileSync(join(unnamed, ownerFile), ownerOf(process.pid));
  const folder = join(dirname(unnamed), basename(unnamed).slice(1));
  renameSync(unnamed, folder);
  return folder;
}

/** The folders with a prefix whose processes are gone. Not those without an owner or of another PID namespace. */
export function deadRunFolders(prefix: string, parent = tmpdir()): readonly string[] {
  return readdirSync(parent)
    .filter((name) => name.startsWith(prefix) || name.startsWith(`.${prefix}`))
    .map((name) => join(parent, name))
    .filter(isDead);
}

/** Returns whether the folder could be removed. One with a mount in it stays: removal would empty what is mounted. */
export function removeRunFolder(folder: string): boolean {
  if (hasMounts(folder)) return false;
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    return true;
  } catch {
    // For example, a child that outlived the owner still writes to it: the next run tries again.
    return false;
  }
}

function isDead(folder: string): boolean {
  let owner: string;
  try {
    owner = readFileSync(join(folder, ownerFile), "utf8");
  } catch {
    return false;
  }
  const [namespace, pid] = owner.split(" ");
  // A process of another namespace cannot be seen.
  if (namespace !== pidNamespace()) return false;
  try {
    return ownerOf(Number(pid)) !== owner;
  } catch (error) {
    return ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/** Identifies a process even if its pid is reused. */
function ownerOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/stat`, "utf8");
  const startTime = status.slice(status.lastIndexOf(")") + 2).split(" ")[19];
  return `${pidNamespace()} ${pid} ${startTime}`;
}

function pidNamespace(): string {
  return readlinkSync("/proc/self/ns/pid");
}

function hasMounts(folder: string): boolean {
  if (process.platform !== "linux") return false;
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) =>
      (line.split(" ")[1] ?? "").replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8))),
    );
  return points.some((point) => point === folder || point.startsWith(`${folder}/`));
}
