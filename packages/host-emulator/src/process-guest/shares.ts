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
  /** Path below the share; empty for the share itself. */
  readonly name: string;
  readonly isDirectory: boolean;
  readonly tree: number;
}

/**
 * Makes a directory of this machine visible in a guest. The copy of its mounts is taken here and attached there, so
 * that no mount ever appears in this machine's own mount namespace.
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
 * What the guest has mounted from the share by itself stays until it unmounts it.
 *
 * Whatever unmounts waits for every processor of the machine, which takes long on a busy one, and all VMs would wait for
 * it here. So the directory is removed from outside of the guest's mount namespace, which a thread of the pool can do: what
 * is mounted on it in other namespaces goes with it.
 */
export async function removeShare(init: number, accessName: string): Promise<void> {
  const folder = withMountNamespace(init, () => openSync(guestFolder, constants.O_RDONLY | constants.O_DIRECTORY));
  try {
    await rmdir(`/proc/self/fd/${folder}/${accessName}`);
  } finally {
    closeSync(folder);
  }
}

/** A share restricted to some files is these files in an empty directory, else it is the directory with its mounts. */
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

/** Attaches a copied tree at a path of the mount namespace that this thread is in. */
export function attach({ isDirectory, tree }: Omit<Piece, "name">, target: string): void {
  if (isDirectory) mkdirSync(target, { recursive: true });
  else {
    mkdirSync(dirname(target), { recursive: true });
    makeGuestFile(target);
  }
  moveMount(tree, target);
  // A server of files shows what is mounted below them later on as well. A copy of a shared mount that is no slave of it
  // would hand what the guest mounts there on to this machine.
  mount("none", target, "", MS_REC | MS_SLAVE);
}

export function detach(target: string): void {
  try {
    umount(target, MNT_DETACH);
  } catch (error) {
    // Nothing is mounted there when the share failed half-way.
    if ((error as { code?: unknown }).code !== "EINVAL") throw error;
  }
  rmdirSync(target);
}
