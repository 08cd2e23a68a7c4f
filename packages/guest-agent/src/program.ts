/**
 * Whether this kernel can run the program that a container is to start with. The kernel itself says no only when the
 * runtime has reported the start already, so that the client would be told of a success.
 */
import { closeSync, lstatSync, openSync, readSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciProcess } from "@uvm-shim/hcs-schema";
import { resolveBelow } from "./below.ts";

interface Machine {
  readonly name: string;
  /** Values of e_machine in an ELF header that this kernel runs: its own, and the 32-bit one it is compatible with. */
  readonly accepted: readonly number[];
}

const machines: { readonly [architecture: string]: Machine } = {
  x64: { name: "x86-64", accepted: [62, 3] },
  arm64: { name: "AArch64", accepted: [183, 40] },
};

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

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const longestHeader = 256;
const mostInterpreters = 4;

/**
 * Throws HCS_E_IMAGE_MISMATCH naming the program, or the interpreter that it names, when that is for another
 * architecture. What is not found below the root is left to the runtime: it may lie on a mount of the container.
 */
export function checkProgram(root: string, { args, cwd, env = [] }: OciProcess, architecture: string): void {
  const machine = machines[architecture];
  const name = args?.[0];
  if (machine === undefined || name === undefined || name === "") return;
  let program = places(name, cwd, env).find((path) => headerOf(root, path) !== undefined);
  for (let depth = 0; program !== undefined && depth < mostInterpreters; depth++) {
    const header = headerOf(root, program);
    if (header === undefined) return;
    const found = machineOf(header);
    if (found !== undefined && !machine.accepted.includes(found)) {
      const foreign = machineNames[found] ?? `ELF machine ${found}`;
      const message = `${program} is built for the architecture ${foreign}, and this guest runs ${machine.name}`;
      throw new GuestFault("HCS_E_IMAGE_MISMATCH", message);
    }
    program = /^#![ \t]*(\/[^\s]+)/.exec(header.toString("latin1"))?.[1];
  }
}

/** Where the runtime looks for a program, as paths in the container. */
function places(name: string, cwd: string, env: readonly string[]): readonly string[] {
  if (name.startsWith("/")) return [name];
  if (name.includes("/")) return [`${cwd}/${name}`];
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? defaultPath;
  return path.split(":").map((folder) => `${folder === "" ? cwd : folder}/${name}`);
}

function machineOf(header: Buffer): number | undefined {
  if (header.length < 20 || header.readUInt32BE(0) !== 0x7f454c46) return undefined;
  return header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18);
}

/** The first bytes of a regular file, by its path in the container. */
function headerOf(root: string, path: string): Buffer | undefined {
  try {
    const place = resolveBelow(root, path);
    if (place === undefined || !lstatSync(place).isFile()) return undefined;
    const file = openSync(place, "r");
    try {
      const header = Buffer.alloc(longestHeader);
      return header.subarray(0, readSync(file, header, 0, longestHeader, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}
