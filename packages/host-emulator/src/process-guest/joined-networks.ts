/**
 * What a guest has of a network namespace that was made on this machine: the namespace itself, for its containers to
 * join, and word of each NIC that stands in it.
 */
import { closeSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { guestFolders, joinedNetwork } from "@uvm-shim/host-protocol/guest";
import { openTree, withMountNamespace } from "@uvm-shim/linux-calls";
import { writeGuestFile } from "./guest-files.ts";
import { attach } from "./shares.ts";

const { joinedNics: nicFolder } = guestFolders;

/** What /proc says of a process that has ended. */
const gone = new Set(["ENOENT", "EACCES", "ESRCH"]);

/** Makes the namespace at `path` one that containers of the guest can join. It needs no undoing but the guest's end. */
export function offerNamespace(init: number, id: string, path: string): void {
  const tree = openTree(path);
  try {
    withMountNamespace(init, () => attach({ isDirectory: false, tree }, joinedNetwork(id)));
  } finally {
    closeSync(tree);
  }
}

export function announceNic(init: number, nic: string, interfaceName: string): void {
  withMountNamespace(init, () => {
    mkdirSync(nicFolder, { recursive: true });
    writeGuestFile(join(nicFolder, nic), `${interfaceName}\n`);
  });
}

export function withdrawNic(init: number, nic: string): void {
  try {
    withMountNamespace(init, () => rmSync(join(nicFolder, nic), { force: true }));
  } catch (error) {
    if (!gone.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
