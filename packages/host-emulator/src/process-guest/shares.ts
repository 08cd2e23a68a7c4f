import { closeSync, constants, mkdirSync, openSync, rmdirSync, statSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
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

const { MS_NODEV, MS_NOSUID, MS_REC, MS_SLAVE } = mountFlags;

interface Piece {
  /** Path within the share; empty for the share itself. */
  readonly name: string;
  readonly isDirectory: boolean;
  readonly tree: number;
}

/**
 * Makes a directory of this machine visible in a guest. Its mounts are copied here and attached in the guest, so that no
 * mount appears in the mount namespace of this machine.
 */
export function addShare(init: number, share: Plan9Share): void {
  const target = join(guestFolder, share.AccessName);
  const readOnly = (share.Flags & plan9ShareFlags.readOnly) !== 0;
  const pieces = openPieces(share);
  try {
    if (readOnly) for (const { tree } of pieces) setMountReadOnly(tree, true);
    withMountNamespace(init, () => {
      mkdirSync(target, { recursive: true });
      try {
        if (share.AllowedFiles !== undefined) {
          mount("share", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m");
        }
        for (const piece of pieces) attach(piece, join(target, piece.name));
        if (share.AllowedFiles !== undefined) setMountReadOnly(target);
      } catch (error) {
        detach(target);
        throw error;
      }
    });
  } finally {
    for (const { tree } of pieces) closeSync(tree);
  }
}

/**
 * Mounts that the guest made of the share stay until it unmounts them.
 *
 * An unmount waits for all processors, which takes long on a busy machine, and would block all VMs here. So a thread of the
 * pool removes the directory from outside the guest's mount namespace; the kernel then detaches mounts on it in other
 * namespaces.
 */
export async function removeShare(init: number, accessName: string): Promise<void> {
  const folder = withMountNamespace(init, () => openSync(guestFolder, constants.O_RDONLY | constants.O_DIRECTORY));
  try {
    await rmdir(`/proc/self/fd/${folder}/${accessName}`);
  } finally {
    closeSync(folder);
  }
}

/** A restricted share consists of its files in an empty directory; another one is the directory with its mounts. */
function openPieces({ Path: path, AllowedFiles: files }: Plan9Share): readonly Piece[] {
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

export function detach(target: string): void {
  try {
    umount(target, MNT_DETACH);
  } catch (error) {
    // Nothing is mounted if adding the share failed.
    if ((error as { code?: unknown }).code !== "EINVAL") throw error;
  }
  rmdirSync(target);
}
