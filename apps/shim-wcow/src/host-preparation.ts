import { constants } from "node:fs";
import { access, copyFile, rename, rm } from "node:fs/promises";
import type { WindowsGuestServices } from "@uvm-shim/hcs-bindings";
import type { FileCopy, HostPreparation } from "@uvm-shim/sandbox-wcow";
import { makeDirectories } from "@uvm-shim/shim";
import { recordOwnFiles, removeOwnFiles } from "./own-files.ts";

export interface PreparingHost {
  grantVmAccess(file: string, signal?: AbortSignal): Promise<void>;
  readonly services: Pick<WindowsGuestServices, "grantVmGroupAccess" | "setDiskIdentifier">;
}

/**
 * Does on the host what a VM needs, and has it created. After a failure nothing is left of what only this VM would have
 * used; its owner otherwise calls `removeOwnFiles` when it has ended.
 */
export async function withPreparation(
  { folders, copies, vmAccess, vmGroupAccess, diskIdentifiers }: HostPreparation,
  bundle: string,
  host: PreparingHost,
  create: () => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  for (const folder of folders) await makeDirectories(folder);
  const own = copies.filter(({ existing }) => existing === "replace").map(({ to }) => to);
  await recordOwnFiles(bundle, own);
  try {
    for (const copy of copies) {
      signal?.throwIfAborted();
      await copyWhole(copy);
    }
    for (const file of vmAccess) await host.grantVmAccess(file, signal);
    for (const folder of vmGroupAccess) await host.services.grantVmGroupAccess(folder, signal);
    for (const { path, identifier } of diskIdentifiers) await host.services.setDiskIdentifier(path, identifier, signal);
    await create();
  } catch (error) {
    await removeOwnFiles(bundle);
    throw error;
  }
}

/** Under another name first: a shim that is killed meanwhile must not leave half a file that the next one keeps. */
async function copyWhole({ from, to, existing }: FileCopy): Promise<void> {
  if (existing === "keep" && (await exists(to))) return;
  const partial = `${to}.partial`;
  try {
    await copyFile(from, partial, constants.COPYFILE_FICLONE);
    await rename(partial, to);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
