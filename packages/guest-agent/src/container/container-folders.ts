/** A container's folders in the guest's file systems, and how the real guest removes them. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { unmountSharedFolders } from "../pods/shared-folders.ts";
import { hostFilesAtRisk, removeFolder, unmountAll } from "../storage/mount-points.ts";
import { isBoundToScratch } from "../storage/storage.ts";

/** Folders of the guest that are removed with one container. */
export interface ContainerFolders {
  readonly bundle: string;
  /** Holds the writable layer of its root file system; empty if there is none. */
  readonly scratch: string;
  /** Shared by a sandbox container with the workloads of its pod; undefined for any other. */
  readonly sandboxRoot: string | undefined;
}

/** Removes the folders with a container's state, and goes on after a failure. Throws a GuestFault. */
export async function deleteFolders({ bundle, scratch, sandboxRoot }: ContainerFolders): Promise<void> {
  if (sandboxRoot !== undefined) unmountSharedFolders(sandboxRoot);
  const problems: string[] = [];
  const attempt = async (work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      problems.push((error as Error).message);
    }
  };
  // Fails if the root, which lies on it, is still mounted.
  if (isBoundToScratch(bundle, scratch)) await attempt(() => unmountAll(bundle, 0));
  // Its disk may be shared with others, and stays.
  if (scratch !== "") await attempt(() => removeFolder(scratch));
  await attempt(() => removeFolder(bundle));
  if (problems.length > 0) throw new GuestFault("E_FAIL", problems.join("; "));
}

/**
 * Removes the files of a container that could not be made, but leaves mounts. Returns the cause, which says so if the
 * real guest would have deleted files of the host.
 */
export async function discardFolders(
  { bundle }: ContainerFolders,
  cause: unknown,
  report: (error: unknown) => void,
): Promise<unknown> {
  const [share] = hostFilesAtRisk(bundle);
  try {
    await removeFolder(bundle);
  } catch (error) {
    if (!(error instanceof GuestFault)) report(error);
  }
  if (share === undefined) return cause;
  const message = `the real guest would now delete the host's files at ${share}, a share in the container's folder`;
  report(message);
  return cause instanceof GuestFault
    ? new GuestFault(cause.hresultName, `${cause.message}; ${message}`, { cause })
    : cause;
}
