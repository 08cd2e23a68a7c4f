import { readdirSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { hostVariables } from "@uvm-shim/host-protocol";
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

/** A program to be found, and where its own folders are below the prefix of an installation. */
interface WantedProgram {
  readonly path: string;
  readonly debianPackage: string;
  readonly folders: readonly string[];
}

const multiarch = "x86_64-linux-gnu";
/** With its firmware, and parts that are loaded when they are used. */
const qemu: WantedProgram = {
  path: "bin/qemu-system-x86_64",
  debianPackage: "qemu-system-x86",
  folders: ["share/qemu", "share/seabios", `lib/${multiarch}/qemu`],
};
const shareServer: WantedProgram = { path: "sbin/diod", debianPackage: "diod", folders: [] };
/** What a machine of ours loads of those parts. */
const loadedPart = /^accel-tcg-.*\.so$/;

/** Where programs are looked for before this machine's own. */
export interface UnpackedPackages {
  /** A folder with `usr`, as `npm run boot-files` makes it. */
  readonly unpacked: string;
  /** Whether somebody has named the folder: then the machine's own programs do not count. */
  readonly isAsked: boolean;
}

/** The QEMU below a folder with `usr`, or that of this machine. Throws an HcsFailure without one. */
export function findInstallation(packages?: UnpackedPackages): Promise<ProgramInstallation> {
  return find(qemu, packages);
}

/** As {@link findInstallation}, the server of Plan9 shares. */
export function findShareServer(packages?: UnpackedPackages): Promise<ProgramInstallation> {
  return find(shareServer, packages);
}

async function find(wanted: WantedProgram, packages: UnpackedPackages | undefined): Promise<ProgramInstallation> {
  const asked = packages === undefined ? undefined : join(packages.unpacked, "usr", wanted.path);
  if (packages?.isAsked === true && asked !== undefined && !isThere(asked)) {
    throw new HcsFailure("ERROR_FILE_NOT_FOUND", `${hostVariables.qemu}: there is no ${asked}`);
  }
  if (packages !== undefined && asked !== undefined && isThere(asked)) {
    const folder = realpathSync(packages.unpacked);
    const prefix = join(folder, "usr");
    const program = join(prefix, wanted.path);
    const libraryFolder = join(prefix, "lib", multiarch);
    const libraries = await librariesOf([program, ...partsIn(prefix, wanted)], libraryFolder);
    const files = libraries.filter((file) => !file.startsWith(`${folder}/`));
    return { program, folders: [folder], files, libraryFolder };
  }
  const name = basename(wanted.path);
  const program = findProgram(name);
  if (program === undefined) {
    throw new HcsFailure(
      "ERROR_FILE_NOT_FOUND",
      `program ${name} not found: run npm run boot-files, or install the Debian package ${wanted.debianPackage}`,
    );
  }
  const prefix = "/usr";
  const folders = wanted.folders.map((folder) => join(prefix, folder)).filter(isThere);
  return { program, folders, files: [program, ...(await librariesOf([program, ...partsIn(prefix, wanted)]))] };
}

function partsIn(prefix: string, { folders }: WantedProgram): readonly string[] {
  return folders
    .map((folder) => join(prefix, folder))
    .filter(isThere)
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => loadedPart.test(basename(path)));
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
