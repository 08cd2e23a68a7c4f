/** A BPF program for cgroups of version 2 that says which settings of /proc/sys can be written (linux/bpf.h). */
import { closeSync, constants, openSync } from "node:fs";
import koffi from "koffi";
import { invoke } from "./libc.ts";
import { emptyOf, programAttach, programLoad } from "./structures.ts";

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_TYPE_CGROUP_SYSCTL = 23;
const BPF_CGROUP_SYSCTL = 18;
/** Programs of groups above and below have a say as well. */
const BPF_F_ALLOW_MULTI = 2;
const sysctlGetName = 101;

const nameBytes = 64;
const [r0, r1, r2, r3, r4, r6, r10] = [0, 1, 2, 3, 4, 6, 10];

/** One instruction; `to` is the label that it jumps to. */
interface Instruction {
  readonly code: number;
  readonly destination: number;
  readonly source?: number;
  readonly offset?: number;
  readonly value?: number;
  readonly to?: "allow" | "next";
}

/**
 * Loads a program that lets every setting be read, and those be written whose name, as in `net/ipv4/ip_forward`, begins
 * with one of these; of one that ends in a NUL, those that it is. The descriptor is the caller's, and is not inherited.
 */
export function loadSysctlGuard(writable: readonly string[]): number {
  const code = encode(writable);
  const license = Buffer.from("MIT\0");
  const attributes = emptyOf(programLoad);
  koffi.encode(attributes, programLoad, {
    prog_type: BPF_PROG_TYPE_CGROUP_SYSCTL,
    insn_cnt: code.length / 8,
    insns: koffi.address(code),
    license: koffi.address(license),
    log_level: 0,
    log_size: 0,
    log_buf: 0,
    kern_version: 0,
    prog_flags: 0,
    prog_name: Buffer.from("sysctl_guard\0\0\0\0"),
    prog_ifindex: 0,
    expected_attach_type: BPF_CGROUP_SYSCTL,
  });
  return invoke("bpf", "BPF_PROG_LOAD", BPF_PROG_LOAD, attributes, attributes.length);
}

/** Has the program hold for a group and all below it, until the group is removed. */
export function attachSysctlGuard(program: number, group: string): void {
  const folder = openSync(group, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const attributes = emptyOf(programAttach);
    koffi.encode(attributes, programAttach, {
      target_fd: folder,
      attach_bpf_fd: program,
      attach_type: BPF_CGROUP_SYSCTL,
      attach_flags: BPF_F_ALLOW_MULTI,
    });
    invoke("bpf", `BPF_PROG_ATTACH ${group}`, BPF_PROG_ATTACH, attributes, attributes.length);
  } finally {
    closeSync(folder);
  }
}

/** The context is `{ u32 write; u32 file_pos }`; the name is written to the stack. */
function encode(writable: readonly string[]): Buffer {
  const head: readonly Instruction[] = [
    { code: 0xbf, destination: r6, source: r1 },
    { code: 0x61, destination: r2, source: r1, offset: 0 },
    { code: 0x15, destination: r2, value: 0, to: "allow" },
    ...Array.from({ length: nameBytes / 8 }, (_, index) => ({
      code: 0x7a,
      destination: r10,
      offset: -8 * (index + 1),
    })),
    { code: 0xbf, destination: r1, source: r6 },
    { code: 0xbf, destination: r2, source: r10 },
    { code: 0x07, destination: r2, value: -nameBytes },
    { code: 0xb7, destination: r3, value: nameBytes },
    { code: 0xb7, destination: r4, value: 0 },
    { code: 0x85, destination: 0, value: sysctlGetName },
  ];
  const tests = writable.map((name) => [
    ...[...Buffer.from(name)].flatMap((byte, index): readonly Instruction[] => [
      { code: 0x71, destination: r1, source: r10, offset: index - nameBytes },
      { code: 0x55, destination: r1, value: byte, to: "next" },
    ]),
    { code: 0x05, destination: 0, to: "allow" } as const,
  ]);
  const deny: readonly Instruction[] = [
    { code: 0xb7, destination: r0, value: 0 },
    { code: 0x95, destination: 0 },
  ];
  const allow: readonly Instruction[] = [
    { code: 0xb7, destination: r0, value: 1 },
    { code: 0x95, destination: 0 },
  ];
  const sections = [head, ...tests, deny, allow];
  const all = sections.flat();
  const bytes = Buffer.alloc(all.length * 8);
  let at = 0;
  let end = 0;
  for (const section of sections) {
    end += section.length;
    for (const { code, destination, source = 0, offset = 0, value = 0, to } of section) {
      const target = to === "allow" ? all.length - allow.length : end;
      bytes.writeUInt8(code, at * 8);
      bytes.writeUInt8((source << 4) | destination, at * 8 + 1);
      bytes.writeInt16LE(to === undefined ? offset : target - at - 1, at * 8 + 2);
      bytes.writeInt32LE(value, at * 8 + 4);
      at++;
    }
  }
  return bytes;
}
