import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
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

/** Program folders of Debian and derivatives. The PATH of a service may not contain the sbin folders. */
export const programFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** OCI runtimes in order of preference; a Linux guest needs one. */
const ociRuntimes = ["crun", "runc"];
const tools = ["mkfs.ext4", "e2fsck", "ip"];
/** For whoever looks around in a guest. No more, since each delays the first guest. */
const diagnosticTools = ["sh", "cat", "ls", "sleep", "stty"];
/** What a Windows guest's containers are made with, by the Debian package that has it. */
const windowsTools = {
  coreutils: ["cat", "chmod", "chroot", "cp", "ln", "mkdir", "rm", "sleep", "tail"],
  dash: ["sh"],
  e2fsprogs: ["mkfs.ext4", "e2fsck"],
  hostname: ["hostname"],
  iproute2: ["ip"],
  mount: ["mount", "umount"],
  sed: ["sed"],
  "util-linux": ["nsenter", "setpriv", "unshare"],
} as const;

/** Which programs an image has. */
export interface ImageContent {
  /** Begins the names of its directories. */
  readonly prefix: string;
  /** Paths of the programs. Throws an HcsFailure that says what is missing. */
  programs(): readonly string[];
}

/**
 * The programs of a Linux guest: an OCI runtime, and the tools of the agent and of diagnosis. HcsFailure without a
 * runtime.
 */
export const linuxImage: ImageContent = {
  prefix: "image-",
  programs: () => {
    const runtime = ociRuntimes.map((name) => findProgram(name)).find((path) => path !== undefined);
    if (runtime !== undefined)
      return [runtime, ...[...tools, ...diagnosticTools].flatMap((name) => findProgram(name) ?? [])];
    throw new HcsFailure(
      "ERROR_FILE_NOT_FOUND",
      "no OCI runtime found: expected crun or runc; install the Debian package crun",
    );
  },
};

/** The programs of a Windows guest's machine. HcsFailure, with Debian's package, for one that is missing. */
export const windowsImage: ImageContent = {
  prefix: "windows-image-",
  programs: () =>
    Object.entries(windowsTools).flatMap(([debianPackage, names]) =>
      names.map((name) => {
        const path = findProgram(name);
        if (path !== undefined) return path;
        throw new HcsFailure(
          "ERROR_FILE_NOT_FOUND",
          `program ${name} not found: install the Debian package ${debianPackage}`,
        );
      }),
    ),
};

const passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const group = "root:x:0:\nnogroup:x:65534:\n";

/**
 * The root file system of guests: the programs and libraries that a guest needs, copied from this machine so that guests
 * see nothing else of it. Created on first use, shared read-only by all guests.
 */
export class GuestImage {
  readonly #stateDirectory: string;
  readonly #content: ImageContent;
  #directory: Promise<string> | undefined;

  constructor(stateDirectory: string, content: ImageContent = linuxImage) {
    this.#stateDirectory = stateDirectory;
    this.#content = content;
  }

  /** Resolves to the directory. Failures are not cached, so that missing programs can be installed meanwhile. */
  directory(): Promise<string> {
    this.#directory ??= this.#build().catch((error: unknown) => {
      this.#directory = undefined;
      throw error;
    });
    return this.#directory;
  }

  async #build(): Promise<string> {
    const { prefix } = this.#content;
    const programs = this.#content.programs();
    const files = [...programs, ...(await librariesOf(programs))];
    const directory = join(this.#stateDirectory, `${prefix}${fingerprint(files)}`);
    this.remove(directory);
    if (statSync(directory, { throwIfNoEntry: false }) !== undefined) return directory;
    const unfinished = join(this.#stateDirectory, `${prefix}unfinished`);
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

  /** Removes all images but one from the state directory. */
  remove(kept?: string): void {
    for (const name of readdirSync(this.#stateDirectory)) {
      const path = join(this.#stateDirectory, name);
      if (name.startsWith(this.#content.prefix) && path !== kept) rmSync(path, { recursive: true, force: true });
    }
  }
}

/** The path of a program of this machine; undefined if no folder has it. */
export function findProgram(name: string, folders: readonly string[] = programFolders): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

/**
 * Shared libraries of programs, including their loaders. ldd would start three programs for each of them, one after the other.
 * Those in `folder` come first.
 */
export async function librariesOf(programs: readonly string[], folder?: string): Promise<readonly string[]> {
  const byLoader = Map.groupBy(programs, (program) => loaderOf(readFileSync(program)));
  const loaders = [...byLoader.keys()].filter((loader) => loader !== undefined);
  const lists = await Promise.all(loaders.map((loader) => listOf(loader, byLoader.get(loader) ?? [], folder)));
  return [...new Set([...loaders, ...librariesIn(lists.join(""))])];
}

/** What a loader prints about programs, in the form of ldd. A shell starts it faster than this process would. */
async function listOf(loader: string, programs: readonly string[], folder?: string): Promise<string> {
  const each = 'for program; do "$0" --list "$program" || exit; done';
  const child = await startProgram("/bin/sh", ["-c", each, loader, ...programs], {
    env: { PATH: programFolders.join(":"), LC_ALL: "C", ...(folder !== undefined && { LD_LIBRARY_PATH: folder }) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  const [output = "", errors = ""] = await Promise.all(
    [child.stdout, child.stderr].map((stream) => text(stream as Readable)),
  );
  await ended;
  // A library that is missing is named in what it prints.
  if (child.exitCode !== 0 && !output.includes(" => not found")) {
    throw new HcsFailure("E_FAIL", `${loader}: ${errors.trim()}`);
  }
  return output;
}

/** The path of the loader that a 64-bit ELF file names; undefined for scripts and for what is linked statically. */
export function loaderOf(file: Buffer): string | undefined {
  const isElf64 = file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2;
  if (!isElf64) return undefined;
  const [start, size, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(54), file.readUInt16LE(56)];
  for (let header = start; header < start + size * count && header + size <= file.length; header += size) {
    if (file.readUInt32LE(header) !== interpreterSegment) continue;
    const [offset, length] = [header + 8, header + 32].map((at) => Number(file.readBigUInt64LE(at))) as [
      number,
      number,
    ];
    return file.toString("utf8", offset, offset + length - 1);
  }
  return undefined;
}

/** PT_INTERP of ELF. */
const interpreterSegment = 3;

/** The library files in a list of ldd's form. Throws an error with the name of a missing library. */
export function librariesIn(output: string): readonly string[] {
  const libraries = new Set<string>();
  for (const line of output.split("\n")) {
    const missing = /^\s+(\S+) => not found$/.exec(line)?.[1];
    if (missing !== undefined) {
      throw new HcsFailure("ERROR_FILE_NOT_FOUND", `library ${missing} not found: programs of the guest need it`);
    }
    const path = /^\s+(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1];
    if (path !== undefined) libraries.add(path);
  }
  return [...libraries];
}

/** Path of a file of this machine in the image, which has everything below /usr. */
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
