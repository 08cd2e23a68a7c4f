import type { Clock } from "@uvm-shim/lifecycle";
import { callFileSystem } from "@uvm-shim/shim";

interface Lookup<Kind, Number, Device> {
  kind(path: string): Promise<Kind>;
  realPath(path: string): Promise<string>;
  blockDevice(device: Number, path: string): Promise<Device>;
}

/** Limits the time of look-ups on host files: specifications may name files on a file system that does not answer. */
export function withBoundedLookups<Kind, Number, Device, Files extends Lookup<Kind, Number, Device>>(
  files: Files & Lookup<Kind, Number, Device>,
  clock: Clock,
): Files {
  const bounded = <T>(path: string, call: () => Promise<T>): Promise<T> =>
    callFileSystem(path, call, () => {}, { clock });
  return {
    ...files,
    kind: (path: string) => bounded(path, () => files.kind(path)),
    realPath: (path: string) => bounded(path, () => files.realPath(path)),
    blockDevice: (device: Number, path: string) => bounded(path, () => files.blockDevice(device, path)),
  };
}
