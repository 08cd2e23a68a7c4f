/** The program of containers that hold a pod's namespaces: it sleeps forever, and needs only the guest's kernel. */

/** Processors that the program of the sandbox exists for, by Node's names. */
export type ProgramArchitecture = "x64" | "arm64";

const loadAddress = 0x400000n;
const headerBytes = 64;
const segmentBytes = 56;
/** The largest page of either architecture. */
const alignment = 0x10000n;
const sigchld = 17;
/** Size of struct sigaction on both architectures: handler, flags, restorer and mask, 8 bytes each. */
const sigactionBytes = 32;
const sigsetBytes = 8;

/**
 * A static ELF program that lets the kernel reap its children, which process 1 of a pid namespace inherits, and then
 * sleeps. As process 1 it is ended only by SIGKILL.
 */
export function sandboxProgram(architecture: ProgramArchitecture): Uint8Array {
  const { machine, code } = programs[architecture];
  const program = new Uint8Array(headerBytes + segmentBytes + code.length);
  const view = new DataView(program.buffer);
  const set16 = (offset: number, value: number): void => view.setUint16(offset, value, true);
  const set32 = (offset: number, value: number): void => view.setUint32(offset, value, true);
  const set64 = (offset: number, value: bigint): void => view.setBigUint64(offset, value, true);

  // "\x7fELF", 64 bits, little-endian, version 1.
  program.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  // ET_EXEC
  set16(16, 2);
  set16(18, machine);
  set32(20, 1);
  set64(24, loadAddress + BigInt(headerBytes + segmentBytes));
  set64(32, BigInt(headerBytes));
  set16(52, headerBytes);
  set16(54, segmentBytes);
  set16(56, 1);

  // PT_LOAD of the whole file, to be read and run.
  set32(headerBytes, 1);
  set32(headerBytes + 4, 5);
  set64(headerBytes + 16, loadAddress);
  set64(headerBytes + 24, loadAddress);
  set64(headerBytes + 32, BigInt(program.length));
  set64(headerBytes + 40, BigInt(program.length));
  set64(headerBytes + 48, alignment);

  program.set(code, headerBytes + segmentBytes);
  return program;
}

/** rt_sigaction(SIGCHLD, {SIG_IGN}, NULL, 8), then pause() again and again. */
function codeForX64(): Uint8Array {
  const rtSigaction = 13;
  const pause = 34;
  const syscall = [0x0f, 0x05];
  return Uint8Array.from([
    ...[0x6a, 0x00], // push 0: mask
    ...[0x6a, 0x00], // push 0: restorer
    ...[0x6a, 0x00], // push 0: flags
    ...[0x6a, 0x01], // push 1: SIG_IGN
    ...[0xb8, rtSigaction, 0, 0, 0], // mov eax, rt_sigaction
    ...[0xbf, sigchld, 0, 0, 0], // mov edi, SIGCHLD
    ...[0x48, 0x89, 0xe6], // mov rsi, rsp
    ...[0x31, 0xd2], // xor edx, edx
    ...[0x41, 0xba, sigsetBytes, 0, 0, 0], // mov r10d, 8
    ...syscall,
    ...[0xb8, pause, 0, 0, 0], // mov eax, pause
    ...syscall,
    ...[0xeb, 0xf7], // jmp to the mov before
  ]);
}

/** The same with ppoll(NULL, 0, NULL, NULL), as this architecture has no pause. */
function codeForArm64(): Uint8Array {
  const rtSigaction = 134;
  const ppoll = 73;
  const move = (register: number, value: number): number => 0xd2800000 | (value << 5) | register;
  const call = (number: number): readonly number[] => [move(8, number), 0xd4000001];
  const sleep = [move(0, 0), move(1, 0), move(2, 0), move(3, 0), ...call(ppoll)];
  const words = [
    0xd10003ff | (sigactionBytes << 10), // sub sp, sp, #32
    move(9, 1), // SIG_IGN
    0xa9007fe9, // stp x9, xzr, [sp]: handler and flags
    0xa9017fff, // stp xzr, xzr, [sp, #16]: restorer and mask
    move(0, sigchld),
    0x910003e1, // mov x1, sp
    move(2, 0),
    move(3, sigsetBytes),
    ...call(rtSigaction),
    ...sleep,
    0x14000000 | (-sleep.length & 0x3ffffff), // b to the first word of the sleep
  ];
  const code = new DataView(new ArrayBuffer(words.length * 4));
  for (const [index, word] of words.entries()) code.setUint32(index * 4, word, true);
  return new Uint8Array(code.buffer);
}

const programs: {
  readonly [architecture in ProgramArchitecture]: { readonly machine: number; readonly code: Uint8Array };
} = {
  x64: { machine: 62, code: codeForX64() },
  arm64: { machine: 183, code: codeForArm64() },
};
