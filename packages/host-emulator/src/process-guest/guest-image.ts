import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { startProgram } from "@uvm-shim/child-processes";
import { HcsFailure } from "../hcs-failure.ts";

/** Where Debian and its relatives keep programs; a service's PATH may lack the system's half. */
export const programFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** In the order of preference; a guest needs one. */
const ociRuntimes = ["crun", "runc"];
const tools = ["mkfs.ext4", "e2fsck", "ip"];

const passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const group = "root:x:0:\nnogroup:x:65534:\n";

/**
 * The file system of guests: a directory with the few programs that a guest runs and the libraries they need, copied
 * from this machine so that a guest sees nothing else of it. Made on first use, shared read-only by all guests.
 */
export class GuestImage {
  readonly #stateDirectory: string;
  #directory: Promise<string> | undefined;

  constructor(stateDirectory: string) {
    this.#stateDirectory = stateDirectory;
  }

  /** Resolves to the directory. A failure is not kept: what was missing may be installed meanwhile. */
  directory(): Promise<string> {
    this.#directory ??= this.#build().catch((error: unknown) => {
      this.#directory = undefined;
      throw error;
    });
    return this.#directory;
  }

  async #build(): Promise<string> {
    const runtime = ociRuntimes.map((name) => findProgram(name)).find((path) => path !== undefined);
    if (runtime === undefined) {
      throw new HcsFailure(
        "ERROR_FILE_NOT_FOUND",
        "the guest needs an OCI runtime, and this machine has neither crun nor runc: install the Debian package crun",
      );
    }
    const programs = [runtime, ...tools.flatMap((name) => findProgram(name) ?? [])];
    const files = [...programs, ...(await librariesOf(programs))];
    const directory = join(this.#stateDirectory, `image-${fingerprint(files)}`);
    this.remove(directory);
    if (statSync(directory, { throwIfNoEntry: false }) !== undefined) return directory;
    const unfinished = join(this.#stateDirectory, "image-unfinished");
    for (const file of files) {
      const target = join(unfinished, placeOf(file));
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(realpathSync(file), target, constants.COPYFILE_FICLONE);
    }
    mkdirSync(join(unfinished, "etc"), { recursive: true });
    writeFileSync(join(unfinished, "etc", "passwd"), passwd);
    writeFileSync(join(unfinished, "etc", "group"), group);
    renameSync(unfinished, directory);
    return directory;
  }

  /** Removes the images in the state directory, but one. */
  remove(kept?: string): void {
    for (const name of readdirSync(this.#stateDirectory)) {
      const path = join(this.#stateDirectory, name);
      if (name.startsWith("image-") && path !== kept) rmSync(path, { recursive: true, force: true });
    }
  }
}

export function findProgram(name: string, folders: readonly string[] = programFolders): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

/** The shared libraries of programs, the loader among them, as ldd names them. */
async function librariesOf(programs: readonly string[]): Promise<readonly string[]> {
  // ldd exits with 1 when one of several files is linked statically, and still tells of the others.
  const child = await startProgram("ldd", programs, {
    env: { PATH: programFolders.join(":"), LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  const [told, said] = await Promise.all([child.stdout, child.stderr].map((stream) => text(stream as Readable)));
  await ended;
  if (child.exitCode !== 0 && told === "") throw new HcsFailure("E_FAIL", `ldd: ${said?.trim()}`);
  return librariesIn(told ?? "");
}

/** The files that an output of ldd leads to. A library that is not found is an error that names it. */
export function librariesIn(output: string): readonly string[] {
  const libraries = new Set<string>();
  for (const line of output.split("\n")) {
    const missing = /^\s+(\S+) => not found$/.exec(line)?.[1];
    if (missing !== undefined) {
      throw new HcsFailure(
        "ERROR_FILE_NOT_FOUND",
        `the guest's programs need the library ${missing}, which is not found`,
      );
    }
    const path = /^\s+(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1];
    if (path !== undefined) libraries.add(path);
  }
  return [...libraries];
}

/** Where a file of this machine stands in the image, which has everything below /usr. */
export function placeOf(file: string): string {
  if (file.startsWith("/usr/local/")) return join("usr", file.slice("/usr/local/".length));
  return file.startsWith("/usr/") ? file.slice(1) : join("usr", file.slice(1));
}

function fingerprint(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}
