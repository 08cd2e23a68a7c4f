/**
 * Checks whether this kernel can run a container's program. The kernel itself refuses it only after the runtime has
 * reported the start, so that the client would see a success.
 */
import { readSync } from "node:fs";
import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciMount, OciProcess } from "@uvm-shim/hcs-schema";
import { architecturesRunBy, elfMachine } from "@uvm-shim/linux-calls";
import { readElf } from "./elf.ts";
import { missingInRoot, readInRoot, withoutEndSlashes } from "./path-in-root.ts";

/** Names of architectures by e_machine. */
const machineNames: { readonly [machine: number]: string } = {
  3: "i386",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC64",
  22: "S390",
  40: "ARM",
  62: "x86-64",
  183: "AArch64",
  243: "RISC-V",
  258: "LoongArch",
};

function nameOf(machine: number): string {
  return machineNames[machine] ?? `ELF machine ${machine}`;
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** As much as the kernel reads of the line that names a script's interpreter. */
const longestLine = 256;
const mostInterpreters = 4;
/** Folders of PATH that are searched. The rest is left to the runtime, which does not block other containers. */
const mostFolders = 64;

/** The kernel's MAX_ARG_STRLEN, which includes the terminating byte. */
const longestText = 131_072;

/**
 * Throws a GuestFault for a program that the kernel would not execute: HCS_E_IMAGE_MISMATCH if it, or its interpreter, was
 * built for another architecture; E_INVALIDARG if it is no program, if its interpreter is missing, or if an argument is
 * too long. A file that is missing in the root or not executable is left to the runtime: it may lie on a mount of the
 * container.
 */
export function checkProgram(
  root: string,
  { args = [], cwd, env = [] }: OciProcess,
  architecture: string,
  mounts: readonly Pick<OciMount, "destination">[] = [],
): void {
  checkLengths("args", args);
  checkLengths("env", env);
  const accepted = architecturesRunBy(architecture).map(elfMachine);
  const [own] = accepted;
  const name = args[0];
  if (own === undefined || name === undefined || name === "") return;
  const mountPoints = mounts.map(({ destination }) => withoutEndSlashes(destination));
  const isOnMount = (path: string): boolean =>
    mountPoints.some((point) => `${path}/`.startsWith(`${point}/`) || point.startsWith(`${path}/`));
  let next = firstProgram(root, places(name, cwd, env), isOnMount);
  for (let depth = 0; next !== undefined && depth < mostInterpreters; depth++) {
    const { path: program, file } = next;
    const { machine: found, isExecutable } = file;
    if (found !== undefined && !accepted.includes(found)) {
      const message = `${program} was built for ${nameOf(found)}, the architecture of this guest is ${nameOf(own)}`;
      throw new GuestFault("HCS_E_IMAGE_MISMATCH", message);
    }
    const interpreter = file.interpreter === undefined ? undefined : posix.resolve(cwd, file.interpreter);
    if (isExecutable && found === undefined && interpreter === undefined) {
      throw refused(args, `exec ${program}: exec format error: expected an ELF file or a script that begins with #!`);
    }
    const missing = interpreter === undefined ? undefined : missingInRoot(root, interpreter);
    if (isExecutable && missing !== undefined && !isOnMount(missing)) {
      const named = JSON.stringify(file.interpreter);
      throw refused(args, `exec ${program}: no such file or directory: its interpreter ${named} does not exist`);
    }
    next = interpreter === undefined ? undefined : firstProgram(root, [interpreter], isOnMount);
  }
}

/** Each file is opened only once, so that the file that is found is the one that is checked. Undefined if it is on a mount. */
function firstProgram(
  root: string,
  paths: readonly string[],
  isOnMount: (path: string) => boolean,
): { readonly path: string; readonly file: ProgramFile } | undefined {
  for (const path of paths) {
    if (isOnMount(path)) return undefined;
    const file = readProgram(root, path);
    if (file !== undefined) return { path, file };
  }
  return undefined;
}

/** As for the kernel, a carriage return at the end of the line is part of the name. */
function scriptInterpreter(header: Buffer): string | undefined {
  return /^#![ \t]*([^ \t\n\0]+)/.exec(header.toString("latin1"))?.[1];
}

function refused(args: readonly string[], why: string): GuestFault {
  const given = JSON.stringify(args[0]);
  return new GuestFault("E_INVALIDARG", `OciSpecification.process.args[0]: cannot execute ${given}: ${why}`);
}

function checkLengths(field: "args" | "env", texts: readonly string[]): void {
  for (const [index, text] of texts.entries()) {
    const bytes = Buffer.byteLength(text);
    if (bytes < longestText) continue;
    const expected = `expected at most ${longestText - 1}: argument list too long`;
    throw new GuestFault("E_INVALIDARG", `OciSpecification.process.${field}[${index}] has ${bytes} bytes, ${expected}`);
  }
}

/** The paths in the container that the runtime tries. */
function places(name: string, cwd: string, env: readonly string[]): readonly string[] {
  if (name.startsWith("/")) return [name];
  if (name.includes("/")) return [`${cwd}/${name}`];
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? defaultPath;
  const folders = new Set(path.split(":", mostFolders));
  return [...folders].map((folder) => `${folder === "" ? cwd : folder}/${name}`);
}

interface ProgramFile {
  readonly isExecutable: boolean;
  /** Undefined unless it is an ELF file. */
  readonly machine: number | undefined;
  /** The program in the first line of a script, or the loader of an ELF file. */
  readonly interpreter: string | undefined;
}

/** Undefined unless the path in the container is a regular file. */
function readProgram(root: string, path: string): ProgramFile | undefined {
  try {
    return readInRoot(root, path, (file, { mode }) => {
      const isExecutable = (mode & 0o111) !== 0;
      const elf = readElf(file);
      if (elf !== undefined) return { isExecutable, machine: elf.machine, interpreter: elf.loader };
      const line = Buffer.alloc(longestLine);
      const length = readSync(file, line, 0, longestLine, 0);
      return { isExecutable, machine: undefined, interpreter: scriptInterpreter(line.subarray(0, length)) };
    });
  } catch {
    return undefined;
  }
}
