/**
 * Paths in a container's root, resolved as by its own processes: no link and no ".." leads out of it, even if the
 * container replaces parts of the path meanwhile, and no FIFO or lease makes the agent wait.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import type { OciMount } from "@uvm-shim/hcs-schema";
import { O_PATH, openInRoot } from "@uvm-shim/linux-calls";

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const mostLinks = 40;
/** The kernel's PATH_MAX. */
const longestPath = 4096;
/** More than the parts of the longest path: each link may lead along such a path. */
const mostSteps = 4096;

/**
 * Passes a regular file, by its path in the container, to `read`; undefined for anything else and for a loop of links.
 * Throws if the path does not exist. The file that was found is opened, even if it is replaced meanwhile; a lease that a
 * process of the container holds on it is an error.
 */
export function readInRoot<T>(root: string, path: string, read: (file: number, stats: Stats) => T): T | undefined {
  return withPlace(root, path, (place) => {
    const stats = fstatSync(place);
    if (!stats.isFile()) return undefined;
    return using(openSync(`/proc/self/fd/${place}`, O_RDONLY | O_NONBLOCK), (file) => read(file, stats));
  });
}

/** Passes a path of the folder that stays valid even if the folder is replaced meanwhile. */
export function withFolderInRoot<T>(root: string, path: string, use: (folder: string) => T): T {
  return using(openSync(root, O_PATH | O_DIRECTORY), (top) =>
    using(openInRoot(top, path, O_PATH | O_DIRECTORY), (folder) => use(`/proc/self/fd/${folder}`)),
  );
}

/** Whether a path exists in a root, whose links cannot lead out of it. */
export function existsInRoot(root: string, path: string): boolean {
  try {
    return withPlace(root, path, () => true) === true;
  } catch {
    return false;
  }
}

function withPlace<T>(root: string, path: string, use: (place: number) => T): T | undefined {
  return using(openSync(root, O_PATH | O_DIRECTORY), (folder) => {
    let place: number;
    try {
      place = openInRoot(folder, path, O_PATH);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ELOOP") return undefined;
      throw error;
    }
    return using(place, use);
  });
}

function using<T>(descriptor: number, use: (descriptor: number) => T): T {
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The first missing part of the path, as a path in the root; undefined if the path exists. */
export function missingInRoot(root: string, path: string): string | undefined {
  let missing: string | undefined;
  try {
    follow(root, path, ({ path: place }) => {
      missing = place;
    });
  } catch {
    return missing;
  }
  return undefined;
}

/** An entry of a folder that is held open, so that access by its name follows no link on the way. */
interface Entry {
  /** A path through the folder's descriptor. */
  readonly name: string;
  /** In the container. */
  readonly path: string;
  readonly isLast: boolean;
}

/** Calls `make` with each missing part; throws if it is still missing afterwards. */
function follow(root: string, path: string, make: (entry: Entry) => void): void {
  using(openSync(root, O_PATH | O_DIRECTORY), (top) => {
    const pending = partsOf(path);
    const resolved: string[] = [];
    let links = 0;
    for (let steps = 0; pending.length > 0 && steps < mostSteps; steps += 1) {
      const part = pending.pop() as string;
      if (part === "..") {
        resolved.pop();
        continue;
      }
      const target = using(openInRoot(top, `./${resolved.join("/")}`, O_PATH | O_DIRECTORY), (folder) => {
        const name = `/proc/self/fd/${folder}/${part}`;
        if (lstatSync(name, { throwIfNoEntry: false }) === undefined) {
          make({ name, path: `/${[...resolved, part].join("/")}`, isLast: pending.length === 0 });
        }
        return lstatSync(name).isSymbolicLink() ? readlinkSync(name) : undefined;
      });
      if (target === undefined) resolved.push(part);
      else {
        if (++links > mostLinks) return;
        if (target.startsWith("/")) resolved.length = 0;
        pending.push(...partsOf(target));
      }
    }
  });
}

/** In reverse order. */
function partsOf(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .reverse();
}

/** Makes the missing folders of the path. A failure is left to the user of the path. */
export function makeFoldersInRoot(root: string, path: string): void {
  makeInRoot(root, path, "folder");
}

function makeInRoot(root: string, path: string, last: "folder" | "file", mode?: number): void {
  try {
    follow(root, path, ({ name, isLast }) => {
      if (isLast && last === "file") writeFileSync(name, "", { flag: "wx" });
      else mkdirSync(name, { mode: 0o755 });
      // By name, a link could be followed that has replaced it.
      if (isLast && mode !== undefined) {
        using(openSync(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), (made) => fchmodSync(made, mode));
      }
    });
  } catch {
    // The user of the path reports a better error.
  }
}

/**
 * Makes missing mount points, also at the targets of links. crun (1.8) does not follow a link to a missing file, and sets
 * the sticky bit on each folder that it makes. runc gives a tmpfs the mode of an existing folder instead of the requested
 * mode.
 */
export function makeMountPoints(root: string, mounts: readonly OciMount[]): void {
  const above = mountsAbove(mounts);
  for (const [index, mount] of mounts.entries()) {
    const { destination } = mount;
    const below = above[index];
    const last = sourceKind(mount) === "file" ? "file" : "folder";
    const mode = modeOf(mount);
    if (below === undefined) makeInRoot(root, destination, last, mode);
    else if (sourceKind(below) === "folder") {
      makeInRoot(below.source as string, destination.slice(below.destination.length), last, mode);
    }
  }
}

/** For each mount, the last earlier mount that it lies on. */
export function mountsAbove<Mount extends Pick<OciMount, "destination">>(
  mounts: readonly Mount[],
): readonly (Mount | undefined)[] {
  const earlier = new Map<string, number>();
  return mounts.map(({ destination }, index) => {
    let last = -1;
    for (let end = destination.indexOf("/"); end !== -1 && end < longestPath; end = destination.indexOf("/", end + 1)) {
      last = Math.max(last, earlier.get(destination.slice(0, end)) ?? -1);
    }
    earlier.set(destination, index);
    return mounts[last];
  });
}

function modeOf({ type, options = [] }: OciMount): number | undefined {
  const mode = options.findLast((option) => /^mode=[0-7]{1,4}$/.test(option));
  return type !== "tmpfs" || mode === undefined ? undefined : Number.parseInt(mode.slice("mode=".length), 8);
}

/** Undefined for mounts that are no bind mounts. */
function sourceKind({ type, source = "", options = [] }: OciMount): "folder" | "file" | undefined {
  if (type !== "bind" && !options.includes("bind") && !options.includes("rbind")) return undefined;
  const stats = statSync(source, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  return stats.isDirectory() ? "folder" : "file";
}

/** The path without slashes at its end; in one pass, however many a container's author writes. */
export function withoutEndSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end -= 1;
  return path.slice(0, end);
}
