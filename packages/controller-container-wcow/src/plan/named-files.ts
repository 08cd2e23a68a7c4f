import type { Refuse } from "@uvm-shim/lifecycle";
import type { WindowsPlanFiles } from "./options.ts";

/** Lookups that name the path in the error when the host cannot resolve it, as with a link loop or a name too long. */
export function namedFiles(files: WindowsPlanFiles, refuse: Refuse): WindowsPlanFiles {
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
    readText: (path) => named(path, files.readText(path)),
  };
}
