/** Paths below a container's root, followed as its own processes would: no link and no ".." leads out of it. */
import { chmodSync, lstatSync, mkdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import type { OciMount } from "@uvm-shim/hcs-schema";

const mostLinks = 40;

/** Where the path leads, as a path of the guest; undefined when links lead in a circle. Throws when it leads nowhere. */
export function resolveBelow(root: string, path: string): string | undefined {
  return follow(root, path, () => {});
}

/** The first place that is missing on the way, as a path below the root; undefined where all of it is there. */
export function missingBelow(root: string, path: string): string | undefined {
  let missing: string | undefined;
  try {
    follow(root, path, (place) => {
      missing = place;
    });
  } catch {
    return missing?.slice(root.length);
  }
  return undefined;
}

/** `make` is called with each place that is missing; what it leaves so makes this throw. */
function follow(root: string, path: string, make: (place: string, isLast: boolean) => void): string | undefined {
  const pending = partsOf(path);
  const resolved: string[] = [];
  let links = 0;
  while (pending.length > 0) {
    const part = pending.pop() as string;
    if (part === "..") {
      resolved.pop();
      continue;
    }
    const place = [root, ...resolved, part].join("/");
    if (lstatSync(place, { throwIfNoEntry: false }) === undefined) make(place, pending.length === 0);
    if (lstatSync(place).isSymbolicLink()) {
      if (++links > mostLinks) return undefined;
      const target = readlinkSync(place);
      if (target.startsWith("/")) resolved.length = 0;
      pending.push(...partsOf(target));
    } else resolved.push(part);
  }
  return [root, ...resolved].join("/");
}

/** The last comes first. */
function partsOf(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .reverse();
}

/** Makes the folders of the path that are missing. What cannot be made is left to whoever uses the path. */
export function makeFoldersBelow(root: string, path: string): void {
  makeBelow(root, path, "folder");
}

function makeBelow(root: string, path: string, last: "folder" | "file", mode?: number): void {
  try {
    follow(root, path, (place, isLast) => {
      if (isLast && last === "file") writeFileSync(place, "", { flag: "wx" });
      else mkdirSync(place, { mode: 0o755 });
      if (isLast && mode !== undefined) chmodSync(place, mode);
    });
  } catch {
    // Whoever uses the path has better words for what is wrong with it.
  }
}

/**
 * Makes what is missing for mounts to stand on, also where a link of the image leads. crun (1.8) follows no link to what
 * is missing, and gives each folder that it makes the sticky bit. runc
 * gives a tmpfs the mode of a folder that is there, in place of the one that was asked for.
 */
export function makeMountPoints(root: string, mounts: readonly OciMount[]): void {
  for (const [index, mount] of mounts.entries()) {
    const { destination } = mount;
    const below = mounts.slice(0, index).findLast((earlier) => destination.startsWith(`${earlier.destination}/`));
    const last = sourceKind(mount) === "file" ? "file" : "folder";
    const mode = modeOf(mount);
    if (below === undefined) makeBelow(root, destination, last, mode);
    else if (sourceKind(below) === "folder") {
      makeBelow(below.source as string, destination.slice(below.destination.length), last, mode);
    }
  }
}

function modeOf({ type, options = [] }: OciMount): number | undefined {
  const mode = options.findLast((option) => /^mode=[0-7]{1,4}$/.test(option));
  return type !== "tmpfs" || mode === undefined ? undefined : Number.parseInt(mode.slice("mode=".length), 8);
}

/** What a bind mount shows; undefined for other mounts, which are made by the kernel. */
function sourceKind({ type, source = "", options = [] }: OciMount): "folder" | "file" | undefined {
  if (type !== "bind" && !options.includes("bind") && !options.includes("rbind")) return undefined;
  const stats = statSync(source, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  return stats.isDirectory() ? "folder" : "file";
}

/** Without the slashes at its end. */
export function withoutEndSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end -= 1;
  return path.slice(0, end);
}
