/**
 * Network namespaces of this machine in a guest: offers them to containers of the guest, and announces the NICs in
 * them.
 */
import { closeSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openTree, withMountNamespace } from "@uvm-shim/linux-calls";
import { writeGuestFile } from "./guest-files.ts";
import { attach } from "./shares.ts";

/** Where the guest's agent finds the namespaces, by their ids as the network service has them. */
const namespaceFolder = "/run/host/networks";
/** Where it finds a NIC that stands in one, by the name that any other would have as an interface. */
const nicFolder = "/run/host/nics";

/** Errors of /proc for an ended process. */
const gone = new Set(["ENOENT", "EACCES", "ESRCH"]);

/** Lets containers of the guest join the namespace at `path`, until the guest ends. */
export function offerNamespace(init: number, id: string, path: string): void {
  const tree = openTree(path);
  try {
    withMountNamespace(init, () => attach({ isDirectory: false, tree }, join(namespaceFolder, id)));
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
