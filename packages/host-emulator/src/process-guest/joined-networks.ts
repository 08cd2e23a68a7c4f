/**
 * Network namespaces of this machine in a guest: offers them to containers of the guest, and announces the NICs in
 * them.
 */
import { closeSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { guestFolders, joinedNetwork } from "@uvm-shim/host-protocol/guest";
import { openTree, withMountNamespace } from "@uvm-shim/linux-calls";
import { writeGuestFile } from "./guest-files.ts";
import { attach } from "./shares.ts";

const { joinedNics: nicFolder } = guestFolders;

/** Errors of /proc for an ended process. */
const gone = new Set(["ENOENT", "EACCES", "ESRCH"]);

/** Lets containers of the guest join the namespace at `path`, until the guest ends. */
export function offerNamespace(init: number, id: string, path: string): void {
  const tree = openTree(path);
  try {
    withMountNamespace(init, () => attach({ isDirectory: false, tree }, joinedNetwork(id)));
  } finally {
    closeSync(tree);
  }
}

/** Tells the guest which interface is the NIC with this GUID. */
export function announceNic(init: number, nic: string, interfaceName: string): void {
  withMountNamespace(init, () => {
    mkdirSync(nicFolder, { recursive: true });
    writeGuestFile(join(nicFolder, nic), `${interfaceName}\n`);
  });
}

/** Takes the announcement back. Succeeds if guest or announcement are gone. */
export function withdrawNic(init: number, nic: string): void {
  try {
    withMountNamespace(init, () => rmSync(join(nicFolder, nic), { force: true }));
  } catch (error) {
    if (!gone.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
