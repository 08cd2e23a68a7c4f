import { readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { HcsFailure } from "../../hcs-failure.ts";
import { findProgram, librariesOf } from "../../process-guest/guest-image.ts";

/** A program with all that it reads of its own; a confined one finds each thing at its usual path. */
export interface ProgramInstallation {
  /** Path of the program. */
  readonly program: string;
  readonly folders: readonly string[];
  readonly files: readonly string[];
  /** Of libraries that the loader does not look for by itself. */
  readonly libraryFolder?: string;
}

const programName = "qemu-system-x86_64";
const multiarch = "x86_64-linux-gnu";
/** Firmware, and parts that are loaded when they are used, below the prefix of an installation. */
const ownFolders = ["share/qemu", "share/seabios", `lib/${multiarch}/qemu`];
/** What a machine of ours loads of those parts. */
const loadedPart = /^accel-tcg-.*\.so$/;

/**
 * The QEMU below a folder with `usr`, as `npm run boot-files` unpacks it, or that of this machine. Throws an HcsFailure
 * without one.
 */
export async function findInstallation(unpacked?: string): Promise<ProgramInstallation> {
  if (unpacked !== undefined && isThere(unpacked)) {
    const folder = realpathSync(unpacked);
    const prefix = join(folder, "usr");
    const program = join(prefix, "bin", programName);
    const libraryFolder = join(prefix, "lib", multiarch);
    const libraries = await librariesOf([program, ...partsIn(prefix)], libraryFolder);
    const files = libraries.filter((file) => !file.startsWith(`${folder}/`));
    return { program, folders: [folder], files, libraryFolder };
  }
  const program = findProgram(programName);
  if (program === undefined) {
    throw new HcsFailure(
      "ERROR_FILE_NOT_FOUND",
      `program ${programName} not found: run npm run boot-files, or install the Debian package qemu-system-x86`,
    );
  }
  const prefix = "/usr";
  const folders = ownFolders.map((name) => join(prefix, name)).filter(isThere);
  return { program, folders, files: [program, ...(await librariesOf([program, ...partsIn(prefix)]))] };
}

function partsIn(prefix: string): readonly string[] {
  const folder = join(prefix, "lib", multiarch, "qemu");
  if (!isThere(folder)) return [];
  return readdirSync(folder)
    .filter((name) => loadedPart.test(name))
    .map((name) => join(folder, name));
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
