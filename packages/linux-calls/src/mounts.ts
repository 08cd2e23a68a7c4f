import { closeSync, constants, openSync } from "node:fs";
import koffi from "koffi";
import { invoke } from "./libc.ts";
import { emptyOf, mountAttributes } from "./structures.ts";

/** The flags of mount(2), by the names and values of linux/mount.h. */
export const mountFlags = {
  MS_RDONLY: 1,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_REMOUNT: 32,
  MS_NOATIME: 1024,
  MS_BIND: 4096,
  MS_MOVE: 8192,
  MS_REC: 16384,
  MS_UNBINDABLE: 1 << 17,
  MS_PRIVATE: 1 << 18,
  MS_SLAVE: 1 << 19,
  MS_SHARED: 1 << 20,
  MS_RELATIME: 1 << 21,
} as const;

/** Flag of umount2(2): detach now, clean up when no longer busy. */
export const MNT_DETACH = 2;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_RDONLY = 1;

/** mount(2). `source`, `fsType` and `data` may be empty where the kernel ignores them. */
export function mount(source: string, target: string, fsType: string, flags: number, data = ""): void {
  const what = `${fsType === "" ? "mount" : fsType} ${source} on ${target}${data === "" ? "" : ` (${data})`}`;
  invoke("mount", what, source, target, fsType === "" ? null : fsType, flags, data === "" ? null : data);
}

/** umount2(2). With `MNT_DETACH` the mount disappears at once, and is taken apart when nothing uses it any more. */
export function umount(target: string, flags = 0): void {
  invoke("umount2", target, target, flags);
}

/** pivot_root(2). Both may be "." to stack the old root on the new one. */
export function pivotRoot(newRoot: string, putOld: string): void {
  invoke("pivot_root", `${newRoot} ${putOld}`, newRoot, putOld);
}

/**
 * A detached copy of the mount (or of the whole tree) at `path`: a file descriptor that {@link moveMount} attaches
 * anywhere, in another mount namespace too. Closing the descriptor drops a copy that was not attached.
 */
export function openTree(path: string, options: { readonly recursive?: boolean } = {}): number {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (options.recursive === true ? AT_RECURSIVE : 0);
  return invoke("open_tree", path, AT_FDCWD, path, flags);
}

/** Attaches a tree of {@link openTree} at `target`, an existing file or directory of the current mount namespace. */
export function moveMount(fd: number, target: string): void {
  invoke("move_mount", target, fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

/** Takes a path or a descriptor of {@link openTree}; `recursive` includes all mounts below it. */
export function setMountReadOnly(pathOrFd: string | number, recursive = false): void {
  const attributes = emptyOf(mountAttributes);
  koffi.encode(attributes, mountAttributes, { attr_set: MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 });
  const deep = recursive ? AT_RECURSIVE : 0;
  const call = (fd: number, path: string, flags: number): number =>
    invoke("mount_setattr", `${pathOrFd} read-only`, fd, path, flags, attributes, attributes.length);
  if (typeof pathOrFd === "number") call(pathOrFd, "", AT_EMPTY_PATH | deep);
  else call(AT_FDCWD, pathOrFd, deep);
}

const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;

let ownNamespace: number | undefined;

/**
 * Runs `action` in the mount namespace of a process, on this thread, and always returns to its own. `action` must be
 * synchronous: other work of the event loop would run in the foreign namespace. The current directory is kept.
 */
export function withMountNamespace<T>(pid: number, action: () => T): T {
  // setns refuses a thread that shares its root and current directory with others. This is repeated on each call, since
  // a thread that was started after the last one shares them again.
  invoke("unshare", "CLONE_FS", CLONE_FS);
  ownNamespace ??= openSync("/proc/thread-self/ns/mnt", "r");
  const home = ownNamespace;
  const directory = openSync(".", constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const foreign = openSync(`/proc/${pid}/ns/mnt`, "r");
    try {
      invoke("setns", `mount namespace of process ${pid}`, foreign, CLONE_NEWNS);
    } finally {
      closeSync(foreign);
    }
    try {
      const result = action();
      if (result instanceof Promise) throw new TypeError("withMountNamespace: the action must be synchronous");
      return result;
    } finally {
      invoke("setns", "own mount namespace", home, CLONE_NEWNS);
      invoke("fchdir", "own current directory", directory);
    }
  } finally {
    closeSync(directory);
  }
}
