import type { Refuse } from "@uvm-shim/lifecycle";
import type { PathLookup } from "./types.ts";

/** Lookups that name the path in the error when the host cannot resolve it, as with a link loop or a name too long. */
export function namingPaths(files: PathLookup, refuse: Refuse): PathLookup {
  const named = async <T>(path: string, work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (typeof (error as { syscall?: unknown } | null)?.syscall !== "string") throw error;
      throw refuse("InvalidArgument", `${path} cannot be used: ${(error as Error).message}`, error);
    }
  };
  return {
    kind: (path) => named(path, files.kind(path)),
    realPath: (path) => named(path, files.realPath(path)),
    hasMountsBelow: (path) => files.hasMountsBelow(path),
    showsLaterMounts: (path) => files.showsLaterMounts(path),
    mountFlags: (path) => files.mountFlags(path),
  };
}
