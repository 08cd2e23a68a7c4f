/** What a container has in the guest's file systems, and how the reference's guest takes it away. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { unmountSharedFolders } from "../pods/shared-folders.ts";
import { hostFilesAtRisk, removeFolder, unmountAll } from "../storage/mount-points.ts";
import { isBoundToScratch } from "../storage/storage.ts";

/** Folders of the guest that go with one container. */
export interface ContainerFolders {
  readonly bundle: string;
  /** What it writes to its root file system; empty where there is none. */
  readonly scratch: string;
  /** What a sandbox container shares with the workloads of its pod; undefined for any other. */
  readonly sandboxRoot: string | undefined;
}

/** With a container's state; what fails does not keep the rest from being tried. Throws a GuestFault. */
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
  // Not where the root is mounted still, which lies on it.
  if (isBoundToScratch(bundle, scratch)) await attempt(() => unmountAll(bundle, 0));
  // The disk below it may be that of others too, and stay.
  if (scratch !== "") await attempt(() => removeFolder(scratch));
  await attempt(() => removeFolder(bundle));
  if (problems.length > 0) throw new GuestFault("E_FAIL", problems.join("; "));
}

/**
 * Of a container that could not be made: all that is reached in its folder goes, and what is mounted there stays. Answers
 * with the cause, which says so where the host's files would have gone in the reference's guest.
 */
export async function discardFolders(
  { bundle }: ContainerFolders,
  cause: unknown,
  tell: (error: unknown) => void,
): Promise<unknown> {
  const [share] = hostFilesAtRisk(bundle);
  try {
    await removeFolder(bundle);
  } catch (error) {
    if (!(error instanceof GuestFault)) tell(error);
  }
  if (share === undefined) return cause;
  const message = `the reference's guest now deletes the files of the host at ${share}, which is in the container's folder`;
  tell(message);
  return cause instanceof GuestFault
    ? new GuestFault(cause.hresultName, `${cause.message}; ${message}`, { cause })
    : cause;
}
