/** A seccomp filter in classic BPF (linux/seccomp.h, linux/bpf_common.h). */
import { constants } from "node:os";
import koffi from "koffi";
import { type Architecture, architecturesRunBy, auditArchitecture } from "../architectures.ts";
import { invoke } from "../libc.ts";
import { emptyOf, filterProgram } from "../structures.ts";

/** A system call that is denied, always or depending on one of its arguments. */
export interface DeniedCall {
  /** Absent for an architecture without the call. */
  readonly numbers: { readonly [architecture in Architecture]?: number };
  /** Denied if the low word of the argument, masked, is one of `values`; with `except`, if it is not. */
  readonly argument?: {
    readonly index: number;
    readonly mask?: number;
    readonly values: readonly number[];
    readonly except?: boolean;
  };
  /** EPERM if absent. */
  readonly errno?: keyof typeof constants.errno;
}

const load = 0x20;
const jumpIfEqual = 0x15;
const jumpIfAtLeast = 0x35;
const and = 0x54;
const answer = 0x06;
const numberOffset = 0;
const architectureOffset = 4;
const argumentsOffset = 16;
const x32Bit = 0x40000000;
const RET_ALLOW = 0x7fff0000;
const RET_ERRNO = 0x00050000;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;

interface Instruction {
  readonly code: number;
  readonly ifTrue: number;
  readonly ifFalse: number;
  readonly value: number;
}

/**
 * Denies system calls for good to all threads of this process and to everything that it starts from now on. Requires
 * CAP_SYS_ADMIN instead of setting no_new_privs, so that set-user-ID programs keep working.
 */
export function denyCalls(calls: readonly DeniedCall[]): void {
  const instructions = filterOf(calls, architecturesRunBy(process.arch));
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, { code, ifTrue, ifFalse, value }] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(ifTrue, index * 8 + 2);
    bytes.writeUInt8(ifFalse, index * 8 + 3);
    bytes.writeUInt32LE(value, index * 8 + 4);
  }
  const program = emptyOf(filterProgram);
  koffi.encode(program, filterProgram, { len: instructions.length, filter: koffi.address(bytes) });
  const result = invoke("seccomp", "filter", SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program);
  if (result !== 0) throw new Error(`seccomp filter: thread ${result} of this process cannot take it`);
}

function filterOf(calls: readonly DeniedCall[], architectures: readonly Architecture[]): readonly Instruction[] {
  const sections = architectures.flatMap((architecture) => {
    const body = [
      instruction(load, numberOffset),
      // x32 numbers its calls differently, and kernels may leave it out.
      ...(architecture === "x64" ? [instruction(jumpIfAtLeast, x32Bit, 0, 1), denied("ENOSYS")] : []),
      ...calls.flatMap((call) => rulesOf(call, call.numbers[architecture])),
      instruction(answer, RET_ALLOW),
    ];
    // Another architecture's section is skipped. A conditional jump's offset is one byte, too short for that.
    const jumpAlways = instruction(0x05, body.length);
    return [
      instruction(load, architectureOffset),
      instruction(jumpIfEqual, auditArchitecture(architecture), 1, 0),
      jumpAlways,
      ...body,
    ];
  });
  return [...sections, denied("ENOSYS")];
}

/** Expects the call's number in the accumulator, and leaves it there. */
function rulesOf({ argument, errno = "EPERM" }: DeniedCall, number: number | undefined): readonly Instruction[] {
  if (number === undefined) return [];
  if (argument === undefined) return [instruction(jumpIfEqual, number, 0, 1), denied(errno)];
  const { index, mask = 0xffffffff, values, except = false } = argument;
  const verdicts = except
    ? [...values.map((value, at) => instruction(jumpIfEqual, value, values.length - at, 0)), denied(errno)]
    : values.flatMap((value) => [instruction(jumpIfEqual, value, 0, 1), denied(errno)]);
  const body = [
    instruction(load, argumentsOffset + index * 8),
    instruction(and, mask),
    ...verdicts,
    instruction(load, numberOffset),
  ];
  return [instruction(jumpIfEqual, number, 0, body.length), ...body];
}

function denied(errno: keyof typeof constants.errno): Instruction {
  return instruction(answer, RET_ERRNO | constants.errno[errno]);
}

function instruction(code: number, value: number, ifTrue = 0, ifFalse = 0): Instruction {
  return { code, ifTrue, ifFalse, value };
}
