/** Limits the devices that a version 2 cgroup can open, as version 1's devices controller does. */
import { closeSync } from "node:fs";
import { attachProgram, detachProgram, type Instruction, loadProgram, type ProgramKind } from "./bpf.ts";

const device: ProgramKind = { type: 15, attach: 6, name: "device_guard" };
const mknodAlone = 1;
const types = { b: 1, c: 2 } as const;
const [r1, r2, r3, r4, r5] = [1, 2, 3, 4, 5];

/** A device, or all of a driver's, as the kernel numbers them. */
export interface GuardedDevice {
  readonly type: keyof typeof types;
  readonly major: number;
  /** Undefined: every device of the major number. */
  readonly minor: number | undefined;
}

/** Applies to a group and its descendants until the group is removed. Any device node can be made, but only these opened. */
export class DeviceGuard {
  readonly #group: string;
  #program: number;

  /** Throws if the kernel does not support such programs, or (before 5.6) cannot replace them; the group is unlimited then. */
  constructor(group: string, allowed: readonly GuardedDevice[]) {
    this.#group = group;
    this.#program = loadProgram(device, sectionsFor(allowed));
    try {
      attachProgram(device, this.#program, group);
    } catch (error) {
      closeSync(this.#program);
      throw error;
    }
    try {
      // Finds out now, not with the group's first device, whether the kernel can replace a program.
      this.allow(allowed);
    } catch (error) {
      try {
        detachProgram(device, this.#program, group);
      } finally {
        closeSync(this.#program);
      }
      throw error;
    }
  }

  /** Replaces the list of allowed devices; on failure the previous list stays. */
  allow(allowed: readonly GuardedDevice[]): void {
    const program = loadProgram(device, sectionsFor(allowed));
    try {
      attachProgram(device, program, this.#group, this.#program);
    } catch (error) {
      closeSync(program);
      throw error;
    }
    closeSync(this.#program);
    this.#program = program;
  }

  /** Closes the program, which stays attached to the group. */
  close(): void {
    closeSync(this.#program);
  }
}

/** The context is `{ u32 access << 16 | type; u32 major; u32 minor }`. */
function sectionsFor(allowed: readonly GuardedDevice[]): readonly (readonly Instruction[])[] {
  const head: readonly Instruction[] = [
    { code: 0x61, destination: r2, source: r1, offset: 0 },
    { code: 0xbf, destination: r3, source: r2 },
    { code: 0x57, destination: r2, value: 0xffff },
    { code: 0x77, destination: r3, value: 16 },
    { code: 0x15, destination: r3, value: mknodAlone, to: "allow" },
    { code: 0x61, destination: r4, source: r1, offset: 4 },
    { code: 0x61, destination: r5, source: r1, offset: 8 },
  ];
  const tests = allowed.map(({ type, major, minor }): readonly Instruction[] => [
    { code: 0x55, destination: r2, value: types[type], to: "next" },
    { code: 0x55, destination: r4, value: major, to: "next" },
    ...(minor === undefined ? [] : [{ code: 0x55, destination: r5, value: minor, to: "next" } as const]),
    { code: 0x05, destination: 0, to: "allow" },
  ]);
  return [head, ...tests];
}
