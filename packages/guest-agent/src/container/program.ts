/**
 * Whether this kernel can run the program that a container is to start with. The kernel itself says no only when the
 * runtime has reported the start already, so that the client would be told of a success.
 */
import { readSync } from "node:fs";
import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciMount, OciProcess } from "@uvm-shim/hcs-schema";
import { architecturesRunBy, elfMachine } from "@uvm-shim/linux-calls";
import { readElf } from "./elf.ts";
import { missingInRoot, readInRoot, withoutEndSlashes } from "./path-in-root.ts";

/** What people call them, by the value of e_machine in their ELF files. */
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
/** Of the line in which a script names its interpreter, as much as the kernel reads. */
const longestLine = 256;
const mostInterpreters = 4;
/** Of PATH. What is further back in it is left to the runtime, for which nobody else has to wait. */
const mostFolders = 64;

/** The kernel's MAX_ARG_STRLEN, in which the byte that ends a text counts. */
const longestText = 131_072;

/**
 * Throws a GuestFault for what the kernel would not execute: HCS_E_IMAGE_MISMATCH naming the program, or the interpreter
 * that it names, when that is for another architecture; E_INVALIDARG when it is no program, when its interpreter is
 * missing, or for a text that is too long. What is not found below the root, or cannot be executed by anybody, is left
 * to the runtime: it may lie on a mount of the container, of which it is told.
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
      const message = `${program} is built for the architecture ${nameOf(found)}, and this guest runs ${nameOf(own)}`;
      throw new GuestFault("HCS_E_IMAGE_MISMATCH", message);
    }
    const interpreter = file.interpreter === undefined ? undefined : posix.resolve(cwd, file.interpreter);
    if (isExecutable && found === undefined && interpreter === undefined) {
      throw refused(args, `exec ${program}: exec format error: it is neither an ELF file nor begins with #!`);
    }
    const missing = interpreter === undefined ? undefined : missingInRoot(root, interpreter);
    if (isExecutable && missing !== undefined && !isOnMount(missing)) {
      const named = JSON.stringify(file.interpreter);
      throw refused(args, `exec ${program}: no such file or directory: it names the interpreter ${named}`);
    }
    next = interpreter === undefined ? undefined : firstProgram(root, [interpreter], isOnMount);
  }
}

/** Looked at once, so that what is judged is what was found. Undefined where there is none, or it is on a mount. */
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

/** A carriage return at the end of the line is part of the name, as the kernel has it. */
function scriptInterpreter(header: Buffer): string | undefined {
  return /^#![ \t]*([^ \t\n\0]+)/.exec(header.toString("latin1"))?.[1];
}

function refused(args: readonly string[], why: string): GuestFault {
  const given = JSON.stringify(args[0]);
  return new GuestFault(
    "E_INVALIDARG",
    `OciSpecification.process.args[0] is ${given}, which cannot be executed: ${why}`,
  );
}

function checkLengths(field: "args" | "env", texts: readonly string[]): void {
  for (const [index, text] of texts.entries()) {
    const bytes = Buffer.byteLength(text);
    if (bytes < longestText) continue;
    const accepted = `accepted are ${longestText - 1}: argument list too long`;
    throw new GuestFault("E_INVALIDARG", `OciSpecification.process.${field}[${index}] has ${bytes} bytes, ${accepted}`);
  }
}

/** Where the runtime looks for a program, as paths in the container. */
function places(name: string, cwd: string, env: readonly string[]): readonly string[] {
  if (name.startsWith("/")) return [name];
  if (name.includes("/")) return [`${cwd}/${name}`];
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? defaultPath;
  const folders = new Set(path.split(":", mostFolders));
  return [...folders].map((folder) => `${folder === "" ? cwd : folder}/${name}`);
}

interface ProgramFile {
  readonly isExecutable: boolean;
  /** Of an ELF file. */
  readonly machine: number | undefined;
  /** What runs it: of a script the program in its first line, of an ELF file the one that loads it. */
  readonly interpreter: string | undefined;
}

/** What a regular file says of itself, by its path in the container. */
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
