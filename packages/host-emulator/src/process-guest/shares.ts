import { closeSync, constants, mkdirSync, openSync, rmdirSync, statSync } from "node:fs";
import { rmdir, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Plan9Share, plan9ShareFlags } from "@uvm-shim/hcs-schema";
import { guestFolders } from "@uvm-shim/host-protocol/guest";
import {
  MNT_DETACH,
  mount,
  mountFlags,
  moveMount,
  openTree,
  setMountReadOnly,
  umount,
  withMountNamespace,
} from "@uvm-shim/linux-calls";
import { makeGuestFile } from "./guest-files.ts";

const { plan9Shares: guestFolder } = guestFolders;

const { MS_BIND, MS_NODEV, MS_NOSUID, MS_REC, MS_REMOUNT, MS_SLAVE } = mountFlags;

/** A directory of this machine, as a guest sees it. */
export interface SharedFolder {
  readonly path: string;
  /** Path in the guest. */
  readonly target: string;
  readonly readOnly: boolean;
  /** Paths below the directory: the guest sees these alone. Undefined for all. */
  readonly files: readonly string[] | undefined;
}

interface Piece {
  /** Path within the share; empty for the share itself. */
  readonly name: string;
  readonly isDirectory: boolean;
  readonly tree: number;
}

/** Shows a folder of this machine in the guest, whose 9p mounts are bind mounts of it. */
export function addShare(
  init: number,
  { AccessName: name, Path: path, Flags: flags, AllowedFiles: files }: Plan9Share,
): void {
  const readOnly = (flags & plan9ShareFlags.readOnly) !== 0;
  showFolder(init, { path, target: join(guestFolder, name), readOnly, files });
}

/** Hides the folder again. */
export async function removeShare(init: number, accessName: string): Promise<void> {
  await hideFolder(init, join(guestFolder, accessName));
}

/**
 * Makes a directory of this machine visible in a guest. Its mounts are copied here and attached in the guest, so that no
 * mount appears in the mount namespace of this machine.
 */
export function showFolder(init: number, folder: SharedFolder): void {
  const { target, readOnly, files } = folder;
  const pieces = openPieces(folder);
  try {
    if (readOnly) for (const { tree } of pieces) setMountReadOnly(tree, true);
    withMountNamespace(init, () => {
      mkdirSync(target, { recursive: true });
      try {
        if (files !== undefined) {
          mount("share", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m");
        }
        for (const piece of pieces) attach(piece, join(target, piece.name));
        if (files !== undefined) setMountReadOnly(target);
      } catch (error) {
        detach(target);
        throw error;
      }
    });
  } finally {
    for (const { tree } of pieces) closeSync(tree);
  }
}

/** Shows further files in a directory that was shown with some. */
export function showFiles(init: number, folder: SharedFolder & { readonly files: readonly string[] }): void {
  const { target, readOnly } = folder;
  const pieces = openPieces(folder);
  try {
    if (readOnly) for (const { tree } of pieces) setMountReadOnly(tree, true);
    withMountNamespace(init, () => {
      mount("none", target, "", MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV);
      try {
        for (const piece of pieces) attach(piece, join(target, piece.name));
      } finally {
        setMountReadOnly(target);
      }
    });
  } finally {
    for (const { tree } of pieces) closeSync(tree);
  }
}

/**
 * Mounts that the guest made of the directory stay until it unmounts them.
 *
 * An unmount waits for all processors, which takes long on a busy machine, and would block all VMs here. So a thread of the
 * pool removes the directory from outside the guest's mount namespace; the kernel then detaches mounts on it in other
 * namespaces.
 */
export async function hideFolder(init: number, target: string): Promise<void> {
  await fromOutside(init, target, rmdir);
}

/** Like `hideFolder`, for a single file that was attached. */
export async function hideFile(init: number, target: string): Promise<void> {
  await fromOutside(init, target, unlink);
}

async function fromOutside(init: number, target: string, remove: (path: string) => Promise<void>): Promise<void> {
  const folder = withMountNamespace(init, () => openSync(dirname(target), constants.O_RDONLY | constants.O_DIRECTORY));
  try {
    await remove(`/proc/self/fd/${folder}/${basename(target)}`);
  } finally {
    closeSync(folder);
  }
}

/** A restricted share consists of its files in an empty directory; another one is the directory with its mounts. */
function openPieces({ path, files }: Pick<SharedFolder, "path" | "files">): readonly Piece[] {
  const pieces: Piece[] = [];
  try {
    for (const name of files ?? [""]) {
      const source = join(path, name);
      const isDirectory = statSync(source).isDirectory();
      pieces.push({ name, isDirectory, tree: openTree(source, { recursive: true }) });
    }
  } catch (error) {
    for (const { tree } of pieces) closeSync(tree);
    throw error;
  }
  return pieces;
}

/** Attaches a copied tree in the current mount namespace of this thread. */
export function attach({ isDirectory, tree }: Omit<Piece, "name">, target: string): void {
  if (isDirectory) mkdirSync(target, { recursive: true });
  else {
    mkdirSync(dirname(target), { recursive: true });
    makeGuestFile(target);
  }
  moveMount(tree, target);
  // As a slave, the copy shows later mounts, like a file server. A shared copy would propagate mounts of the guest to this
  // machine.
  mount("none", target, "", MS_REC | MS_SLAVE);
}

/** Takes a mount away at once, and removes its mount point. */
export function detach(target: string): void {
  try {
    umount(target, MNT_DETACH);
  } catch (error) {
    // Nothing is mounted if adding the share failed.
    if ((error as { code?: unknown }).code !== "EINVAL") throw error;
  }
  rmdirSync(target);
}
