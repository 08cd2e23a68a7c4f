import type { Clock } from "@uvm-shim/lifecycle";
import { withinBound } from "@uvm-shim/shim";

interface Lookup<Kind, Number, Device> {
  kind(path: string): Promise<Kind>;
  realPath(path: string): Promise<string>;
  blockDevice(device: Number, path: string): Promise<Device>;
}

/** The host's files, of which those that specifications name may be of a file system that does not answer. */
export function withinBounds<Kind, Number, Device, Files extends Lookup<Kind, Number, Device>>(
  files: Files & Lookup<Kind, Number, Device>,
  clock: Clock,
): Files {
  const ask = <T>(path: string, call: () => Promise<T>): Promise<T> => withinBound(path, call, () => {}, { clock });
  return {
    ...files,
    kind: (path: string) => ask(path, () => files.kind(path)),
    realPath: (path: string) => ask(path, () => files.realPath(path)),
    blockDevice: (device: Number, path: string) => ask(path, () => files.blockDevice(device, path)),
  };
}
