/** BPF programs (linux/bpf.h) that decide what processes of a version 2 cgroup may do. */
import { closeSync, constants, openSync } from "node:fs";
import koffi from "koffi";
import { invoke, repeatIfInterrupted } from "../libc.ts";
import { emptyOf, programAttach, programLoad } from "../structures.ts";

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_DETACH = 9;
/** Programs of the group's ancestors and descendants run as well. */
const BPF_F_ALLOW_MULTI = 2;
const BPF_F_REPLACE = 4;
const nameBytes = 16;

/** The kind of access that a program decides on. */
export interface ProgramKind {
  readonly type: number;
  readonly attach: number;
  readonly name: string;
}

/** `to` is the target of a jump: the verdict that allows, or the next section. */
export interface Instruction {
  readonly code: number;
  readonly destination: number;
  readonly source?: number;
  readonly offset?: number;
  readonly value?: number;
  readonly to?: "allow" | "next";
}

const exit: Instruction = { code: 0x95, destination: 0 };

/** Loads a program that denies what no section allows. The caller owns the descriptor, which is not inherited. */
export function loadProgram(kind: ProgramKind, sections: readonly (readonly Instruction[])[]): number {
  const code = encode(sections);
  const license = Buffer.from("MIT\0");
  const attributes = emptyOf(programLoad);
  koffi.encode(attributes, programLoad, {
    prog_type: kind.type,
    insn_cnt: code.length / 8,
    insns: koffi.address(code),
    license: koffi.address(license),
    log_level: 0,
    log_size: 0,
    log_buf: 0,
    kern_version: 0,
    prog_flags: 0,
    prog_name: Buffer.from(kind.name.padEnd(nameBytes, "\0")),
    prog_ifindex: 0,
    expected_attach_type: kind.attach,
  });
  // EAGAIN: the kernel stops verifying a program when the process receives a signal, such as a child's SIGCHLD.
  return repeatIfInterrupted(() => invoke("bpf", "BPF_PROG_LOAD", BPF_PROG_LOAD, attributes, attributes.length));
}

/** Attaches a program to a group and its descendants until the group is removed, replacing `replaced` if it is given. */
export function attachProgram(kind: ProgramKind, program: number, group: string, replaced?: number): void {
  const flags = BPF_F_ALLOW_MULTI | (replaced === undefined ? 0 : BPF_F_REPLACE);
  const subject = `BPF_PROG_ATTACH ${group}${replaced === undefined ? "" : " with BPF_F_REPLACE (since Linux 5.6)"}`;
  withFolder(group, (folder) => {
    const attributes = emptyOf(programAttach);
    koffi.encode(attributes, programAttach, {
      target_fd: folder,
      attach_bpf_fd: program,
      attach_type: kind.attach,
      attach_flags: flags,
      replace_bpf_fd: replaced ?? 0,
    });
    invoke("bpf", subject, BPF_PROG_ATTACH, attributes, attributes.length);
  });
}

/** Detaches a program from a cgroup, given by its folder. Throws a LinuxCallError, ENOENT if it is not attached there. */
export function detachProgram(kind: ProgramKind, program: number, group: string): void {
  withFolder(group, (folder) => {
    const attributes = emptyOf(programAttach);
    koffi.encode(attributes, programAttach, {
      target_fd: folder,
      attach_bpf_fd: program,
      attach_type: kind.attach,
      attach_flags: 0,
      replace_bpf_fd: 0,
    });
    invoke("bpf", `BPF_PROG_DETACH ${group}`, BPF_PROG_DETACH, attributes, attributes.length);
  });
}

function withFolder(path: string, use: (folder: number) => void): void {
  const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    use(folder);
  } finally {
    closeSync(folder);
  }
}

function encode(tests: readonly (readonly Instruction[])[]): Buffer {
  const deny: readonly Instruction[] = [{ code: 0xb7, destination: 0, value: 0 }, exit];
  const allow: readonly Instruction[] = [{ code: 0xb7, destination: 0, value: 1 }, exit];
  const sections = [...tests, deny, allow];
  const count = sections.flat().length;
  const bytes = Buffer.alloc(count * 8);
  let at = 0;
  let end = 0;
  for (const section of sections) {
    end += section.length;
    for (const { code, destination, source = 0, offset = 0, value = 0, to } of section) {
      const target = to === "allow" ? count - allow.length : end;
      bytes.writeUInt8(code, at * 8);
      bytes.writeUInt8((source << 4) | destination, at * 8 + 1);
      bytes.writeInt16LE(to === undefined ? offset : target - at - 1, at * 8 + 2);
      bytes.writeInt32LE(value, at * 8 + 4);
      at++;
    }
  }
  return bytes;
}
