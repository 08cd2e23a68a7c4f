/** The executables of the workspace: where each starts, and the flavour it is built with. */
export interface Program {
  readonly name: string;
  /** Entry module, relative to the root. */
  readonly entry: string;
  /** What the shims' flavour module reads; programs without a flavour have none. */
  readonly flavour?: "lcow" | "wcow";
}

export const programs: readonly Program[] = [
  { name: "shim-lcow", entry: "apps/shim-lcow/src/main.ts", flavour: "lcow" },
  { name: "shim-wcow", entry: "apps/shim-wcow/src/main.ts", flavour: "wcow" },
  { name: "hcs-emulator", entry: "packages/host-emulator/src/main.ts" },
  { name: "guest-agent", entry: "packages/guest-agent/src/main.ts" },
];

export function findProgram(name: string): Program {
  const program = programs.find((candidate) => candidate.name === name);
  if (program === undefined) {
    throw new Error(`No program "${name}"; there are ${programs.map((candidate) => candidate.name).join(", ")}.`);
  }
  return program;
}
