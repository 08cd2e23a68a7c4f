import { stat } from "node:fs/promises";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import { callFileSystem } from "@uvm-shim/shim";

/** Files as they were at one moment. */
export interface FilesThen {
  /** Whether they are still the same: replaced ones and changed ones are not. */
  areCurrent(): Promise<boolean>;
}

/** Looks at files, also through links. One that is not there may stay so. */
export async function lookAtFiles(paths: readonly string[], clock: Clock = systemClock): Promise<FilesThen> {
  const look = async (): Promise<string> => {
    const looks = paths.map((file) =>
      callFileSystem(
        file,
        () => identityOf(file),
        () => {},
        { clock },
      ),
    );
    return (await Promise.all(looks)).join("\n");
  };
  const then = await look();
  return { areCurrent: async () => (await look()) === then };
}

async function identityOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs].join(" ");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "none";
    throw error;
  }
}
