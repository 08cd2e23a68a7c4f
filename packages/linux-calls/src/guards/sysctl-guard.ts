/** Limits the settings of /proc/sys that a version 2 cgroup can write. */
import { attachProgram, type Instruction, loadProgram, type ProgramKind } from "./bpf.ts";

const sysctl: ProgramKind = { type: 23, attach: 18, name: "sysctl_guard" };
const sysctlGetName = 101;

const nameBytes = 64;
const [r1, r2, r3, r4, r6, r10] = [1, 2, 3, 4, 6, 10];

/**
 * Loads a program that allows every setting to be read, and those to be written whose name (`net/ipv4/ip_forward`)
 * begins with one of `writable`; a prefix that ends in NUL must match the whole name. The caller owns the descriptor,
 * which is not inherited.
 */
export function loadSysctlGuard(writable: readonly string[]): number {
  return loadProgram(sysctl, sectionsFor(writable));
}

/** Attaches the program to a group and its descendants until the group is removed. */
export function attachSysctlGuard(program: number, group: string): void {
  attachProgram(sysctl, program, group);
}

/** The context is `{ u32 write; u32 file_pos }`; the name is written to the stack. */
function sectionsFor(writable: readonly string[]): readonly (readonly Instruction[])[] {
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
  return [head, ...tests];
}
