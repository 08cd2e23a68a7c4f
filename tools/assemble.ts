/** Puts the bundled programs, their launchers, the runtime and the boot files into dist/linux-x64. */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, linkSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processGuestKernel } from "../packages/host-protocol/src/guest/boot.ts";
import { koffiAddonFolder } from "./bundle.ts";
import { root } from "./workspace.ts";

const launchers: Readonly<Record<string, string>> = {
  "containerd-shim-lcow-v2": "shim-lcow",
  "containerd-shim-wcow-v2": "shim-wcow",
  "hcs-emulator": "hcs-emulator",
};

const bundles: Readonly<Record<string, string>> = {
  "shim-lcow": "apps/shim-lcow",
  "shim-wcow": "apps/shim-wcow",
  "hcs-emulator": "packages/host-emulator",
};

/** What shims load only if they are asked to. */
const telemetry = "telemetry.cjs";

/** The arguments with which each program runs once, to fill the cache of compiled code: it prints something and ends. */
const warmings: Readonly<Record<string, readonly string[]>> = {
  "lib/shim-lcow.cjs": ["-info"],
  "lib/shim-wcow.cjs": ["-info"],
  "lib/hcs-emulator.cjs": ["--help"],
  "LinuxBootFiles/initrd.img": [],
};

/** The first module that Node loads is not cached itself: this one is small, and the program is its only import. */
function entry(program: string): string {
  const cache = '{ directory: __dirname + "/compiled", portable: true }';
  return `"use strict";\nrequire("node:module").enableCompileCache(${cache});\nrequire("./${program}");\n`;
}

/**
 * Removes variables meant for other Node programs: NODE_OPTIONS could load any code into this one. Names that a shell
 * cannot unset stay; the runtime reads none of them.
 */
const unsetRuntimesOwn = [
  "set -f",
  "exported=$(export -p)",
  "case $exported in *NODE_*)",
  "  for word in $exported; do",
  `    case \${word%%=*} in *[!A-Za-z0-9_]*) ;; NODE_*) unset "\${word%%=*}" ;; esac`,
  "  done",
  "esac",
  "unset OPENSSL_CONF",
];

/** The runtime raises its soft limit of descriptors to the hard one; programs that it runs for callers get the original limit. */
const tellSoftLimit = [
  "unset UVM_SHIM_OPEN_FILES",
  "soft=$(ulimit -Sn)",
  '[ "$soft" = "$(ulimit -Hn)" ] || export UVM_SHIM_OPEN_FILES="$soft"',
];

/**
 * No core file of the runtime, which would contain data of callers. The hard limit stays, so that its children can write the
 * core files that specifications ask for; containers whose specification sets no limit write none, the default of Linux.
 */
const writeNoCore = ["ulimit -Sc 0"];

/** With fewer the runtime dies by a signal without a message, or during its start. */
export const fewestDescriptors = 24;

/**
 * A shell keeps its script, and what it redirects, at descriptors above 9. So the limit is checked before it opens the
 * script, and reported by an error of the shell. Kernels before 5.1 read 127 bytes of a first line.
 */
const firstLine = [
  "#!/usr/bin/env -S /bin/sh -c '",
  `(ulimit -Sn ${fewestDescriptors})&&. "$0";`,
  `set --;: "\${1?ulimit -n is below the ${fewestDescriptors} needed}"'`,
].join("");

/**
 * A launcher finds its runtime beside itself, even when it is called through a symbolic link. If the launcher was copied
 * alone, as is usual for shims of a single file, it finds the installed runtime as containerd does: by name, in PATH.
 */
export function launcher(name: string, program: string): string {
  return [
    firstLine,
    "self=$0",
    '[ -h "$self" ] && self=$(readlink -f "$self")',
    `if [ ! -x "\${self%/*}/lib/node" ]; then`,
    `  self=$(command -v ${name})`,
    '  [ -h "$self" ] && self=$(readlink -f "$self")',
    `  if [ ! -x "\${self%/*}/lib/node" ]; then`,
    `    echo "$0: no lib/node beside it, nor beside a ${name} in PATH: install the whole folder" >&2`,
    "    exit 127",
    "  fi",
    "fi",
    ...unsetRuntimesOwn,
    ...tellSoftLimit,
    ...writeNoCore,
    // SIGUSR1 would make the runtime open a debugger port to any user of the machine.
    `exec "\${self%/*}/lib/node" --disable-sigusr1 "\${self%/*}/lib/${program}.cjs" "$@"`,
    "",
  ].join("\n");
}

function put(from: string, to: string, mode: number): void {
  copyFileSync(from, `${to}.new`);
  chmodSync(`${to}.new`, mode);
  renameSync(`${to}.new`, to);
}

function write(to: string, text: string, mode: number): void {
  writeFileSync(`${to}.new`, text);
  chmodSync(`${to}.new`, mode);
  renameSync(`${to}.new`, to);
}

export function assembleLinux(): string {
  const target = join(root, "dist", "linux-x64");
  const lib = join(target, "lib");
  const boot = join(target, "LinuxBootFiles");
  for (const folder of [lib, boot]) mkdirSync(folder, { recursive: true });
  write(join(target, "package.json"), '{"type":"commonjs"}\n', 0o644);

  const node = join(lib, "node");
  if (statSync(node, { throwIfNoEntry: false })?.size !== statSync(process.execPath).size) {
    rmSync(node, { force: true });
    try {
      linkSync(process.execPath, node);
    } catch {
      put(process.execPath, node, 0o755);
    }
  }
  for (const [name, folder] of Object.entries(bundles)) {
    put(join(root, folder, "dist", "program", `${name}.cjs`), join(lib, `${name}.program.cjs`), 0o644);
    write(join(lib, `${name}.cjs`), entry(`${name}.program.cjs`), 0o644);
  }
  put(join(root, "packages/telemetry/dist/program", telemetry), join(lib, telemetry), 0o644);
  put(join(root, "packages/guest-agent/dist/program/guest-agent.cjs"), join(boot, "guest-agent.program.cjs"), 0o644);
  write(join(boot, "initrd.img"), entry("guest-agent.program.cjs"), 0o644);
  write(join(boot, "kernel"), `${processGuestKernel}\n`, 0o644);
  for (const folder of [lib, boot]) {
    for (const triplet of ["linux_x64"]) {
      mkdirSync(join(folder, "koffi", triplet), { recursive: true });
      put(
        join(koffiAddonFolder("linux-x64"), triplet, "koffi.node"),
        join(folder, "koffi", triplet, "koffi.node"),
        0o644,
      );
    }
  }
  for (const [name, program] of Object.entries(launchers)) {
    write(join(target, name), launcher(name, program), 0o755);
  }
  for (const folder of [lib, boot]) rmSync(join(folder, "compiled"), { recursive: true, force: true });
  for (const [program, args] of Object.entries(warmings)) {
    spawnSync(node, [join(target, program), ...args], { stdio: "ignore", timeout: 10_000 });
  }
  spawnSync(node, ["-e", entry(telemetry)], { cwd: lib, stdio: "ignore", timeout: 10_000 });
  return target;
}
