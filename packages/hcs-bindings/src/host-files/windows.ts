import { realpath, rm, stat } from "node:fs/promises";
import { HostError } from "../host-error.ts";

/** What the host files of a Windows machine need of their surroundings. */
export interface WindowsHostFilesOptions {
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
}

/**
 * The host's files on Windows. The VM opens layers and scratch disks as files. The host cannot mount file systems for a
 * Linux container, so it has none to unmount.
 */
export interface WindowsHostFiles {
  kind(path: string): Promise<"file" | "directory" | "block" | "other" | undefined>;
  realPath(path: string): Promise<string>;
  /** Always false: in a share, a mounted folder of Windows is an ordinary folder. */
  hasMountsBelow(path: string): Promise<boolean>;
  /** Always undefined: devices of Windows have no major and minor numbers. */
  blockDevice(device: { readonly major: number; readonly minor: number }, path: string): Promise<undefined>;
  /** Always false: Windows has no mount propagation. */
  showsLaterMounts(path: string): Promise<boolean>;
  /** Always empty: Windows has no such flags. */
  mountFlags(path: string): Promise<readonly string[]>;
  /** Unimplemented: containerd on Windows passes layers, which are mounted in the VM. */
  mountAll(mounts: readonly { readonly type: string }[], target: string, signal?: AbortSignal): Promise<void>;
  unmountAll(target: string): Promise<void>;
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Succeeds if the file does not exist. */
  removeFile(path: string): Promise<void>;
}

/** The device path of a disk of the host; it is not a file path. */
const physicalDrive = /^\\\\[.?]\\physicaldrive\d+$/i;

/** The host files of a Windows machine, on which nothing is mounted for containers. */
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
      throw new HostError("Unimplemented", `cannot mount ${types} on a Windows host: expected lcow-layer`, {
        operation: "mount",
        id: target,
      });
    },
  };
}
