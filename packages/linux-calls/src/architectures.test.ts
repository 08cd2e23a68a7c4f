import { describe, expect, it } from "vitest";
import { architecturesRunBy, auditArchitecture, elfMachine } from "./architectures.ts";

describe("architectures", () => {
  it.each([
    ["x64", 62, 0xc000003e],
    ["ia32", 3, 0x40000003],
    ["arm64", 183, 0xc00000b7],
    ["arm", 40, 0x40000028],
  ] as const)("have the numbers that Linux gives them: %s", (architecture, machine, audit) => {
    expect([elfMachine(architecture), auditArchitecture(architecture)]).toEqual([machine, audit]);
  });

  it("are run beside the kernel's own where they are its 32-bit ones, and by no kernel that is not known", () => {
    expect(["x64", "arm64", "riscv64"].map(architecturesRunBy)).toEqual([["x64", "ia32"], ["arm64", "arm"], []]);
  });
});
