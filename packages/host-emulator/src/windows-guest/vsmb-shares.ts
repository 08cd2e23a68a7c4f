/** VSMB shares of a Windows guest: folders where its agent looks for them. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { VirtualSmbShare } from "@uvm-shim/hcs-schema";
import { guestFolders } from "@uvm-shim/host-protocol/guest";
import { withMountNamespace } from "@uvm-shim/linux-calls";
import { hideFolder, type SharedFolder, showFiles, showFolder } from "../process-guest/shares.ts";

/** Shows a folder of this machine where the guest looks for the share. */
export function addVsmbShare(init: number, share: VirtualSmbShare): void {
  showFolder(init, folderOf(share));
}

/** The files of a share only grow: what the guest has open is never taken away. */
export function updateVsmbShare(init: number, share: VirtualSmbShare): void {
  const { files = [], ...folder } = folderOf(share);
  const shown = new Set(withMountNamespace(init, () => readdirSync(folder.target)));
  showFiles(init, { ...folder, files: files.filter((name) => !shown.has(name)) });
}

/** Hides it again. */
export async function removeVsmbShare(init: number, name: string): Promise<void> {
  await hideFolder(init, targetOf(name));
}

function folderOf({ Name: name, Path: path, AllowedFiles: files, Options: options }: VirtualSmbShare): SharedFolder {
  return {
    path,
    target: targetOf(name),
    readOnly: options.ReadOnly === true,
    files: options.RestrictFileAccess === true ? (files ?? []).map((file) => basename(file)) : undefined,
  };
}

function targetOf(name: string): string {
  return join(guestFolders.vsmbShares, name);
}
