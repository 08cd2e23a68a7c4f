/**
 * Paths below a container's root, followed as its own processes would: no link and no ".." leads out of it, also where
 * the container exchanges what is on the way while it is looked at, and nothing that lies there is waited for.
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
/** More than the longest path has: links may each lead along one, to and fro. */
const mostSteps = 4096;

/**
 * Hands a regular file, by its path in the container, to `read`; undefined for anything else, and when links lead in a
 * circle. Throws when the path leads nowhere. What was found is what is opened, whatever has taken its place; a lease
 * that a process of the container holds on it is an error, and is not waited for.
 */
export function readInRoot<T>(root: string, path: string, read: (file: number, stats: Stats) => T): T | undefined {
  return withPlace(root, path, (place) => {
    const stats = fstatSync(place);
    if (!stats.isFile()) return undefined;
    return using(openSync(`/proc/self/fd/${place}`, O_RDONLY | O_NONBLOCK), (file) => read(file, stats));
  });
}

/** Hands a folder over, as a path by which nothing else is reached whatever takes its place meanwhile. */
export function withFolderInRoot<T>(root: string, path: string, use: (folder: string) => T): T {
  return using(openSync(root, O_PATH | O_DIRECTORY), (top) =>
    using(openInRoot(top, path, O_PATH | O_DIRECTORY), (folder) => use(`/proc/self/fd/${folder}`)),
  );
}

/** Whether the path leads to anything. */
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

/** The first place that is missing on the way, as a path below the root; undefined where all of it is there. */
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

/** Something in a folder that is held: none of what is done to it by its name follows a link. */
interface Entry {
  /** Leads to it through the folder's descriptor. */
  readonly name: string;
  /** In the container. */
  readonly path: string;
  readonly isLast: boolean;
}

/** `make` is called with each place that is missing; what it leaves so makes this throw. */
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

/** The last comes first. */
function partsOf(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .reverse();
}

/** Makes the folders of the path that are missing. What cannot be made is left to whoever uses the path. */
export function makeFoldersInRoot(root: string, path: string): void {
  makeInRoot(root, path, "folder");
}

function makeInRoot(root: string, path: string, last: "folder" | "file", mode?: number): void {
  try {
    follow(root, path, ({ name, isLast }) => {
      if (isLast && last === "file") writeFileSync(name, "", { flag: "wx" });
      else mkdirSync(name, { mode: 0o755 });
      // By its name a link could have taken its place.
      if (isLast && mode !== undefined) {
        using(openSync(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), (made) => fchmodSync(made, mode));
      }
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

/** Of each mount the last of those before it that it lies on. */
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
