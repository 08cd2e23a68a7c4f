/** Node's names. `ia32` and `arm` are 32-bit programs, which 64-bit kernels run as well. */
export type Architecture = "x64" | "ia32" | "arm64" | "arm";

interface ArchitectureNumbers {
  /** e_machine of ELF files (linux/elf-em.h). */
  readonly machine: number;
  readonly is64Bit: boolean;
}

const numbers: { readonly [architecture in Architecture]: ArchitectureNumbers } = {
  x64: { machine: 62, is64Bit: true },
  ia32: { machine: 3, is64Bit: false },
  arm64: { machine: 183, is64Bit: true },
  arm: { machine: 40, is64Bit: false },
};

const AUDIT_ARCH_64BIT = 0x80000000;
const AUDIT_ARCH_LE = 0x40000000;

const runBy: { readonly [kernel: string]: readonly Architecture[] } = {
  x64: ["x64", "ia32"],
  arm64: ["arm64", "arm"],
};

/** The architectures whose programs a kernel runs, its own first; empty for an unknown kernel. */
export function architecturesRunBy(kernel: string): readonly Architecture[] {
  return runBy[kernel] ?? [];
}

/** The value of e_machine in ELF files. */
export function elfMachine(architecture: Architecture): number {
  return numbers[architecture].machine;
}

/** The value by which audit and seccomp identify a call's table of system call numbers (linux/audit.h). */
export function auditArchitecture(architecture: Architecture): number {
  const { machine, is64Bit } = numbers[architecture];
  return machine + AUDIT_ARCH_LE + (is64Bit ? AUDIT_ARCH_64BIT : 0);
}
