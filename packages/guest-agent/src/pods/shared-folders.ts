/** The folders that the containers of a pod share, in the root of its sandbox. */
import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { MNT_DETACH, mount, mountFlags } from "@uvm-shim/linux-calls";
import { withFolderInRoot } from "../container/path-in-root.ts";
import { mountOwn, mountPointsBelow, unmountAll } from "../storage/mount-points.ts";

/** Finds or makes the folders for a specification's mounts and logs. */
export interface SharedFolders {
  /** The shared folder of `mounts` or `tmp` (in memory) at `path`. */
  shared(kind: "mounts" | "tmp", path: string, field: string): string;
  hugePages(size: string, location: string, field: string): string;
  /** A folder of logs. */
  logs(path: string, field: string): string;
}

const folders = { mounts: "sandboxMounts", tmp: "sandboxTmpfsMounts", hugePages: "hugepages", logs: "logs" } as const;

/** Makes them for a sandbox container. Mounts in them propagate between containers that request it. */
export function makeSharedFolders(sandboxRoot: string): void {
  for (const name of [folders.mounts, folders.tmp, folders.hugePages]) {
    const path = `${sandboxRoot}/${name}`;
    mkdirSync(path, { recursive: true, mode: 0o755 });
    if (name === folders.tmp) {
      mountOwn(path, () => mount("tmpfs", path, "tmpfs", mountFlags.MS_NOSUID | mountFlags.MS_NODEV));
    }
    mountOwn(path, () => mount(path, path, "", mountFlags.MS_BIND));
    mount("", path, "", mountFlags.MS_SHARED | mountFlags.MS_REC);
  }
  makeShared(`${sandboxRoot}/${folders.logs}`);
}

/** Removes all mounts in them, as the deletion of the sandbox container does. */
export function unmountSharedFolders(sandboxRoot: string): void {
  for (const name of [folders.mounts, folders.tmp, folders.hugePages]) {
    for (const path of mountPointsBelow(`${sandboxRoot}/${name}`).toReversed()) unmountAll(path, MNT_DETACH);
  }
}

/** The folders that a pod's containers share, which are made when they are first asked for. */
export function sharedFoldersOf(sandboxRoot: string): SharedFolders {
  const base = (name: string): string => {
    const path = `${sandboxRoot}/${name}`;
    // A standalone container has only logs, made for its annotation.
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) makeShared(path);
    return path;
  };
  return {
    shared: (kind, path, field) => sharedDirectory(base(folders[kind]), path, field),
    hugePages: (size, location, field) => {
      const path = sharedDirectory(base(folders.hugePages), `${size}/${location}`, field);
      if (mountPointsBelow(path).includes(path)) return path;
      try {
        mountOwn(path, () => mount("none", path, "hugetlbfs", 0, `pagesize=${size}`));
      } catch (cause) {
        rmSync(path, { recursive: true, force: true });
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${field}: ${(cause as Error).message}`, { cause });
      }
      return path;
    },
    logs: (path, field) => sharedDirectory(base(folders.logs), path, field),
  };
}

function makeShared(path: string): void {
  const umask = process.umask(0);
  try {
    mkdirSync(path, { recursive: true, mode: 0o777 });
  } finally {
    process.umask(umask);
  }
}

const mostCharacters = 200;

function shortened(path: string): string {
  return JSON.stringify(path.length > mostCharacters ? `${path.slice(0, mostCharacters)}…` : path);
}

/**
 * Every user of every container may write there, so links are never followed, even if one replaces a folder meanwhile.
 */
function sharedDirectory(base: string, path: string, field: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const umask = process.umask(0);
  try {
    for (const [index, part] of parts.entries()) {
      if (part === ".." || part.includes("\0")) throw leadsOut(path, field);
      withFolderInRoot(base, `./${parts.slice(0, index).join("/")}`, (folder) => {
        const place = `${folder}/${part}`;
        const stats = lstatSync(place, { throwIfNoEntry: false });
        if (stats?.isSymbolicLink() === true) throw leadsOut(path, field);
        if (stats === undefined) mkdirSync(place, { mode: 0o777 });
      });
    }
  } catch (cause) {
    if (cause instanceof GuestFault) throw cause;
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new GuestFault("E_INVALIDARG", `${field}: cannot use ${shortened(path)}: ${code}`, { cause });
  } finally {
    process.umask(umask);
  }
  return [base, ...parts].join("/");
}

function leadsOut(path: string, field: string): GuestFault {
  return new GuestFault("E_INVALIDARG", `${field}: ${shortened(path)} leads out of the pod's shared folders`);
}
