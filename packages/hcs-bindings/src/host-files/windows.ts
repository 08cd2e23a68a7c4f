import { realpath, rm, stat } from "node:fs/promises";
import { HostError } from "../host-error.ts";

export interface WindowsHostFilesOptions {
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
}

/**
 * The host's files on Windows. Layers and scratch disks are files that the VM opens; the host itself has no way to
 * mount what a Linux container sees, and so nothing to unmount.
 */
export interface WindowsHostFiles {
  kind(path: string): Promise<"file" | "directory" | "block" | "other" | undefined>;
  realPath(path: string): Promise<string>;
  /** Never: what is mounted in a folder of Windows is, in a share, a folder like any other. */
  hasMountsBelow(path: string): Promise<boolean>;
  /** None: Windows' devices have no such numbers. */
  blockDevice(device: { readonly major: number; readonly minor: number }, path: string): Promise<undefined>;
  /** False, as nothing is known of what is mounted below a folder. */
  showsLaterMounts(path: string): Promise<boolean>;
  /** None: Windows has no such flags. */
  mountFlags(path: string): Promise<readonly string[]>;
  /** Unimplemented: containerd for Windows gives layers that are mounted in the VM. */
  mountAll(mounts: readonly { readonly type: string }[], target: string, signal?: AbortSignal): Promise<void>;
  unmountAll(target: string): Promise<void>;
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Missing counts as removed. */
  removeFile(path: string): Promise<void>;
}

/** A disk of the host by its device path, which is none of a file. */
const physicalDrive = /^\\\\[.?]\\physicaldrive\d+$/i;

export function createWindowsHostFiles({ grantVmAccess }: WindowsHostFilesOptions): WindowsHostFiles {
  return {
    grantVmAccess,
    removeFile: (path) => rm(path, { force: true }),
    realPath: async (path) => (physicalDrive.test(path) ? path : await realpath(path)),
    hasMountsBelow: async () => false,
    blockDevice: async () => undefined,
    showsLaterMounts: async () => false,
    mountFlags: async () => [],
    unmountAll: async () => {},

    async kind(path) {
      if (physicalDrive.test(path)) return "block";
      try {
        const found = await stat(path);
        if (found.isFile()) return "file";
        return found.isDirectory() ? "directory" : "other";
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOENT" || code === "ENOTDIR") return undefined;
        throw error;
      }
    },

    async mountAll(mounts, target) {
      const types = mounts.map(({ type }) => type).join(", ");
      throw new HostError("Unimplemented", `Windows cannot mount ${types} on the host, expected an lcow-layer`, {
        operation: "mount",
        id: target,
      });
    },
  };
}
