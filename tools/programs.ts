import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./workspace.ts";

/** The system that a bundle is for. What is for the other one falls out. */
export type System = "linux" | "win32";

/** The executables of the workspace: where each starts, and the flavour it is built with. */
export interface Program {
  readonly name: string;
  /** Entry module, relative to the root. */
  readonly entry: string;
  /** What the shims' flavour module reads; programs without a flavour have none. */
  readonly flavour?: "lcow" | "wcow";
  readonly systems: readonly System[];
  /** Whether it is no program of its own: shims load it if they need it. */
  readonly isPart?: boolean;
  /**
   * Modules that go, with all that they import, into a file of their own, which is loaded when one of them is imported.
   * Only dynamic imports may name them. Each file has its own copy of what both import.
   */
  readonly serving?: readonly string[];
}

/** What `-v`, `start`, an orderly `delete` and the listening socket do without. */
const servingModules = [
  "packages/shim/src/program/manual.ts",
  "packages/shim/src/program/runtime-options.ts",
  "packages/shim/src/program/serve.ts",
  "packages/shim/src/record/pod-record.ts",
  "packages/shim/src/sandboxer/run-sandboxer.ts",
  "packages/hcs-bindings/src/windows/index.ts",
];

const everywhere: readonly System[] = ["linux", "win32"];

export const programs: readonly Program[] = [
  {
    name: "shim-lcow",
    entry: "apps/shim-lcow/src/main.ts",
    flavour: "lcow",
    systems: everywhere,
    serving: [...servingModules, "apps/shim-lcow/src/platform-lcow.ts"],
  },
  {
    name: "shim-wcow",
    entry: "apps/shim-wcow/src/main.ts",
    flavour: "wcow",
    systems: everywhere,
    serving: [...servingModules, "apps/shim-wcow/src/platform-wcow.ts"],
  },
  { name: "uvm-diag", entry: "apps/uvm-diag/src/main.ts", systems: everywhere },
  { name: "hcs-emulator", entry: "packages/host-emulator/src/main.ts", systems: ["linux"] },
  { name: "telemetry", entry: "packages/telemetry/src/index.ts", systems: everywhere, isPart: true },
  { name: "grpc-server", entry: "packages/grpc-server/src/index.ts", systems: everywhere, isPart: true },
  { name: "linux-calls", entry: "packages/linux-calls/src/shim-part.ts", systems: ["linux"], isPart: true },
  { name: "guest-agent", entry: "packages/guest-agent/src/main.ts", systems: ["linux"] },
];

export function findProgram(name: string): Program {
  const program = programs.find((candidate) => candidate.name === name);
  if (program === undefined) {
    throw new Error(`No program "${name}"; there are ${programs.map((candidate) => candidate.name).join(", ")}.`);
  }
  return program;
}

/** What a program's bundle for a system is called, without its ending. */
export function bundleName({ name }: Program, system: System): string {
  return system === "linux" ? name : `${name}.${system}`;
}

/** What the second file of a program's bundle is called, without its ending. */
export function servingName(program: Program, system: System): string {
  return `${bundleName(program, system)}.serving`;
}

/** The folder of the package that owns a program. */
export function programFolder({ entry }: Program): string {
  return entry.split("/", 2).join("/");
}

/** A program has the version of the package that owns it. */
export function programVersion(program: Program): string {
  return JSON.parse(readFileSync(join(root, programFolder(program), "package.json"), "utf8")).version;
}
