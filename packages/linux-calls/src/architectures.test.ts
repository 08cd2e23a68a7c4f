import { describe, expect, it } from "vitest";
import { architecturesRunBy, auditArchitecture, elfMachine } from "./architectures.ts";

describe("architectures", () => {
  it.each([
    ["x64", 62, 0xc000003e],
    ["ia32", 3, 0x40000003],
    ["arm64", 183, 0xc00000b7],
    ["arm", 40, 0x40000028],
  ] as const)("have Linux's numbers: %s", (architecture, machine, audit) => {
    expect([elfMachine(architecture), auditArchitecture(architecture)]).toEqual([machine, audit]);
  });

  it("include the 32-bit variant of a known kernel, and are empty for an unknown one", () => {
    expect(["x64", "arm64", "riscv64"].map(architecturesRunBy)).toEqual([["x64", "ia32"], ["arm64", "arm"], []]);
  });
});
