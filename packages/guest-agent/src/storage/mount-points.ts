import { lstatSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { LinuxCallError, umount } from "@uvm-shim/linux-calls";
import { atOnce, type InPieces, inTurns, removeAll } from "./removal.ts";

/** The mount points at the path or below it, in the order of mounting; a path once for each mount. */
export function mountPointsBelow(path: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map(placeOf)
    .filter((place) => place === path || place.startsWith(`${path}/`));
}

/** The mounts, by path, whose files belong to a container alone: its overlay, or a disk. */
const own = new Map<string, number>();

/** Mounts files that belong to a container alone; all other mounts are of files that others have as well. */
export function mountOwn(place: string, act: () => void): void {
  act();
  own.set(place, (own.get(place) ?? 0) + 1);
}

const mostMounts = 5;

/** Unmounts all stacked mounts at a path. No error if there is no mount, or no such path. */
export function unmountAll(place: string, flags: number): void {
  if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return;
  try {
    for (let count = 0; count < mostMounts; count++) {
      umount(place, flags);
      const left = (own.get(place) ?? 0) - 1;
      if (left > 0) own.set(place, left);
      else own.delete(place);
    }
  } catch (error) {
    if (!(error instanceof LinuxCallError) || error.code !== "EINVAL") throw error;
  }
}

/**
 * Removes a folder as the real guest does, including the contents of disks and overlays that are mounted in it;
 * then it throws a GuestFault naming the mount, which stays. A missing folder counts as removed. Unlike there, the contents
 * of other mounts, which are named as well, are kept: they are files of a developer's machine.
 */
export async function removeFolder(path: string): Promise<void> {
  await inTurns(removal(path));
}

/** As `removeFolder`, for a mount point, in which no container could write. */
export function removeMountPoint(path: string): void {
  atOnce(removal(path));
}

function* removal(path: string): InPieces<void> {
  const [mount] = yield* emptyOfOwn(path);
  if (mount === undefined) return;
  throw new GuestFault("E_FAIL", `cannot remove ${path}: ${mount} is a mount`);
}

function* emptyOfOwn(path: string): InPieces<readonly string[]> {
  try {
    return yield* empty(path, mountPointsBelow(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    throw new GuestFault("E_FAIL", `cannot remove ${path}: something was mounted in it meanwhile`);
  }
}

/** The writable mounts at or below a path of files that others have as well. */
export function hostFilesAtRisk(path: string): readonly string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const readOnly = new Set(lines.filter((line) => /^ro(,|$)/.test(line.split(" ")[5] ?? "")).map(placeOf));
  return mountPointsBelow(path).filter((place) => !own.has(place) && !readOnly.has(place));
}

/** Returns the mounts that prevent the removal, those of others first. */
function* empty(path: string, mounts: readonly string[]): InPieces<readonly string[]> {
  const inside = mounts.filter((place) => place === path || place.startsWith(`${path}/`));
  if (inside.length === 0) {
    yield* removeAll(path);
    return [];
  }
  const isMount = inside.includes(path);
  if (isMount && !own.has(path)) return [path];
  const found: string[] = [];
  for (const name of readdirSync(path)) {
    try {
      found.push(...(yield* empty(join(path, name), inside)));
    } catch (error) {
      // Read-only file systems, or some of the kernel's own.
      if (!refusals.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  if (isMount) found.push(path);
  else if (readdirSync(path).length === 0) rmdirSync(path);
  return [...new Set(found)].toSorted((one, other) => Number(own.has(one)) - Number(own.has(other)));
}

const refusals = ["EROFS", "EPERM", "EACCES", "EBUSY", "EXDEV"];

function placeOf(line: string): string {
  return (line.split(" ")[4] ?? "").replaceAll(/\\(\d{3})/g, (_, digits) => fromOctal(digits));
}

function fromOctal(digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 8));
}
