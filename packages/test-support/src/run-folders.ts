/**
 * Temporary folders that say whose they are: one whose process is gone, however it ended, is removed by the next process
 * that makes one of the same prefix.
 */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

const ownerFile = ".owner";
const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** A new folder of this process; what dead ones left under the prefix is removed first. The process removes its own. */
export function makeRunFolder(prefix: string, parent = tmpdir()): string {
  for (const folder of deadRunFolders(prefix, parent)) removeRunFolder(folder);
  return newRunFolder(prefix, parent);
}

/** Makes one the temporary folder of this process and of what it starts, and removes it at the end, also by a signal. */
export function useRunFolder(prefix: string): string {
  const folder = makeRunFolder(prefix);
  process.env.TMPDIR = folder;
  process.on("exit", () => removeRunFolder(folder));
  for (const [name, number] of Object.entries(signals)) {
    process.once(name, () => {
      // Whoever else listens decides when the process ends.
      if (process.listenerCount(name) === 0) process.exit(128 + number);
    });
  }
  return folder;
}

/** As `makeRunFolder`, for whoever has more to remove than the folders of the dead. */
export function newRunFolder(prefix: string, parent = tmpdir()): string {
  // It gets its name when it has its owner: else it would look as one that belongs to nobody.
  const unnamed = mkdtempSync(join(parent, `.${prefix}`));
  if (process.platform === "linux") writeFileSync(join(unnamed, ownerFile), ownerOf(process.pid));
  const folder = join(dirname(unnamed), basename(unnamed).slice(1));
  renameSync(unnamed, folder);
  return folder;
}

/** Those of a prefix whose processes are gone. None that another kind of program made, or whose process cannot be seen. */
export function deadRunFolders(prefix: string, parent = tmpdir()): readonly string[] {
  return readdirSync(parent)
    .filter((name) => name.startsWith(prefix) || name.startsWith(`.${prefix}`))
    .map((name) => join(parent, name))
    .filter(isDead);
}

/** Whether it could be removed. One with a mount in it is left: what is mounted there would be emptied. */
export function removeRunFolder(folder: string): boolean {
  if (hasMounts(folder)) return false;
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    return true;
  } catch {
    // A process that its own has left behind writes to it, say: the next run may have more luck.
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
  // Of a process of another namespace nothing can be said.
  if (namespace !== pidNamespace()) return false;
  try {
    return ownerOf(Number(pid)) !== owner;
  } catch (error) {
    return ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/** A process, told from others that have had its id or will have it. */
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
