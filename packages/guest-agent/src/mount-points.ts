import { lstatSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";

/** Where something is mounted at the path or below it, in the order in which it was; a place once for each mount. */
export function mountPointsBelow(path: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll(/\\(\d{3})/g, (_, digits) => fromOctal(digits)))
    .filter((place) => place === path || place.startsWith(`${path}/`));
}

/**
 * Removes a folder with all that is in it, but nothing that is mounted there: then this throws a GuestFault that names
 * the mount. What is not there counts as removed.
 */
export function removeFolder(path: string): void {
  const [mounted] = removeAround(path, mountPointsBelow(path));
  if (mounted !== undefined) throw new GuestFault("E_FAIL", `${path} is not removed, since ${mounted} is a mount`);
}

/** The mounts that were in the way. */
function removeAround(path: string, mounts: readonly string[]): readonly string[] {
  const inside = mounts.filter((place) => place === path || place.startsWith(`${path}/`));
  if (inside.length === 0) {
    rmSync(path, { recursive: true, force: true });
    return [];
  }
  if (inside.includes(path)) return [path];
  for (const name of readdirSync(path)) removeAround(join(path, name), inside);
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined && readdirSync(path).length === 0) rmdirSync(path);
  return inside;
}

function fromOctal(digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 8));
}
