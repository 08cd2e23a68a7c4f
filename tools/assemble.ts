/** Puts the bundled programs, their launchers, the runtime and the boot files into dist/linux-<architecture>. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import packageJson from "../apps/shim-lcow/package.json" with { type: "json" };
import { processGuestKernel } from "../packages/host-protocol/src/guest/boot.ts";
import { deleteAnswerFile } from "../packages/shim/src/program/delete-answer.ts";
import { servingOptions } from "../packages/shim/src/program/executable.ts";
import { launcherVariable } from "../packages/shim/src/program/launcher.ts";
import { stderrFile } from "../packages/shim/src/program/stderr-file.ts";
import { koffiAddonFolder } from "./bundle.ts";
import { findProgram, programFolder } from "./programs.ts";
import {
  answersFile,
  codeOf,
  distributionOf,
  guestProgram,
  hasAnswers,
  host,
  type LinuxTarget,
  launchers,
  linuxPrograms,
  marksOf,
  parts,
  runtimeOf,
} from "./targets.ts";
import { root } from "./workspace.ts";

/** The arguments with which each program runs once, to fill the cache of compiled code: it prints something and ends. */
const warmings: Readonly<Record<string, readonly string[]>> = {
  "shim-lcow": ["-h"],
  "shim-wcow": ["-h"],
  "hcs-emulator": ["--help"],
  "uvm-diag": ["--help"],
  [guestProgram]: [],
  ...Object.fromEntries(parts.map((part) => [part, []])),
};

/** The first module that Node loads is not cached itself: this one is small, and the program is its only import. */
function entry(program: string): string {
  const cache = '{ directory: __dirname + "/compiled", portable: true }';
  return `"use strict";\nrequire("node:module").enableCompileCache(${cache});\nrequire("./${program}");\n`;
}

/** The variables of the environment that the runtime itself reads, without their prefix. */
export const runtimesOwnVariables: readonly string[] = [
  "BENCH_CONTEXT BENCH_FILE_RUN_ID BENCH_RUN_ID CHANNEL_FD CHANNEL_SERIALIZATION_MODE CLUSTER_SCHED_POLICY",
  "COMPILE_CACHE COMPILE_CACHE_PORTABLE COMPILE_CACHE_READONLY DEBUG DEBUG_NATIVE DISABLE_COLORS",
  "DISABLE_COMPILE_CACHE EXTRA_CA_CERTS ICU_DATA INSPECT_RESUME_ON_START NO_READLINE NO_WARNINGS OPTIONS PATH",
  "PENDING_DEPRECATION PENDING_PIPE_INSTANCES PRESERVE_SYMLINKS PRESERVE_SYMLINKS_MAIN REDIRECT_WARNINGS",
  "REPL_EXTERNAL_MODULE REPL_HISTORY REPL_HISTORY_SIZE REPL_MODE RUN_PACKAGE_JSON_PATH RUN_SCRIPT_NAME",
  "SKIP_PLATFORM_CHECK TEST_CONTEXT TEST_WORKER_ID TLS_REJECT_UNAUTHORIZED UNIQUE_ID USE_ENV_PROXY USE_SYSTEM_CA",
  "V8_COVERAGE",
].flatMap((line) => line.split(" "));

/**
 * Removes variables meant for other Node programs: NODE_OPTIONS could load any code into this one. By name, since a shell
 * lists its variables only to another process, and each process that a launcher starts takes longer than all else it does.
 */
const unsetRuntimesOwn = [
  `unset OPENSSL_CONF ${launcherVariable} ${runtimesOwnVariables.map((name) => `NODE_${name}`).join(" ")}`,
];

/**
 * The runtime raises its soft limit of descriptors to the hard one; programs that it runs for callers get the original limit.
 * Read, and not asked of `ulimit`, whose answer would take a process.
 */
const tellSoftLimit = [
  "unset UVM_SHIM_OPEN_FILES",
  "while read -r _ what of soft hard _; do",
  '  [ "$what $of" = "open files" ] || continue',
  '  [ "$soft" = "$hard" ] || export UVM_SHIM_OPEN_FILES="$soft"',
  "  break",
  "done < /proc/self/limits",
];

/**
 * No core file of the runtime, which would contain data of callers. The hard limit stays, so that its children can write the
 * core files that specifications ask for; containers whose specification sets no limit write none, the default of Linux.
 */
const writeNoCore = ["ulimit -Sc 0"];

/**
 * Has the C library give freed memory back from 128 KiB on, its documented threshold. Left to itself it raises that with each
 * large block that is freed, and what V8's compilers took in a busy moment stays: 6 MiB in a pod of 2,000 processes.
 */
export const giveFreedMemoryBack = "export MALLOC_TRIM_THRESHOLD_=131072";

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

/** Where distributions keep the libraries of each architecture. */
const libraryFolders: Readonly<Record<LinuxTarget, readonly string[]>> = {
  "linux-x64": ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"],
  "linux-arm64": ["/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"],
};

/**
 * The runtime needs a library that a bare system lacks, and after exec only the loader could say so. Where it is in none of
 * the usual folders, the runtime is tried first: it may be elsewhere.
 */
function tellMissingLibrary(folders: readonly string[]): readonly string[] {
  const library = "libatomic.so.1";
  return [
    `for folder in ${folders.join(" ")} ''; do`,
    `  [ -e "$folder/${library}" ] && break`,
    "done",
    `if [ -z "$folder" ] && ! words=$("$lib/node" --version 2>&1); then`,
    `  echo "$0: the runtime does not start: $words (to get ${library}: apt-get install libatomic1, dnf install libatomic)" >&2`,
    "  exit 127",
    "fi",
  ];
}

/**
 * Answers without the program, in a tenth of the time in which the runtime starts: `-info` out of a file of the
 * distribution, and `delete` out of the one that a pod leaves in its bundle when it has ended in order.
 */
function answerItself(program: string): readonly string[] {
  return [
    `[ "$#$1" = 1-info ] && [ -r "$lib/${answersFile(program)}" ] && . "$lib/${answersFile(program)}"`,
    "id= bundle= flag=",
    "for word; do",
    "  case $flag in -id) id=$word ;; -bundle) bundle=$word ;; esac",
    "  flag=$word",
    "done",
    `file=\${bundle:-.}/${deleteAnswerFile}`,
    `if [ "$flag" = delete ] && [ -n "$id" ] && [ -r "$file" ]; then`,
    '  read -r ended bytes < "$file"',
    `  [ "$ended" = "$id" ] && printf %b "$bytes" && exit`,
    "fi",
  ];
}

/**
 * Has the process that answers `start` go on to serve the pod, and waits for its answer only: containerd waits for the end
 * of what it has started. The process gets descriptors for the answer (3), for an error (4), and for the exit code (5), whose
 * end tells that there will be none. A folder without the link that containerd makes in each bundle is left as it is.
 */
function startInBackground(program: string): readonly string[] {
  const node = `"$lib/node" ${servingOptions.join(" ")} "$lib/${program}.cjs" "$@"`;
  return [
    `output=\${bundle:-.}/${basename(stderrFile(""))}`,
    `if [ "$flag" = start ] && [ -h "\${bundle:-.}/work" ]; then`,
    "  exec 7>&1 8>&2 9<&0",
    `  code=$(${launcherVariable}=1 ${node} <&9 3>&7 4>&8 5>&1 >"$output" 2>&1 7>&- 8>&- 9<&- &)`,
    '  [ -n "$code" ] && exit "$code"',
    '  echo "$0: the serving process ended before it accepted connections" >&2',
    '  while read -r line; do echo "$line" >&2; done <"$output"',
    "  exit 1",
    "fi",
  ];
}

/**
 * Without it V8's young generation grows with a burst of pods and stays large, at 50 pods by 38 MiB. A sandboxer starts
 * once, and what it takes it keeps.
 */
const smallestYoungGeneration = "--max-semi-space-size=1";
const smallYoungGeneration = ["young=", `[ "$flag" = sandboxer ] && young=${smallestYoungGeneration}`];

/** Lines of a shell that print the bytes, and exit. */
export function printingLines(bytes: Uint8Array): string {
  const escaped = (byte: number): string => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_./:,"{}[\] -]/.test(character) ? character : `\\${byte.toString(8).padStart(3, "0")}`;
  };
  return `printf '${Array.from(bytes, escaped).join("")}'\nexit\n`;
}

/**
 * A launcher finds its runtime beside itself, even when it is called through a symbolic link. If the launcher was copied
 * alone, as is usual for shims of a single file, it finds the installed runtime as containerd does: by name, in PATH.
 */
export function launcher(
  name: string,
  program: string,
  libraries: readonly string[] = libraryFolders["linux-x64"],
): string {
  const isShim = name.startsWith("containerd-shim-");
  const isEmulator = name === "hcs-emulator";
  const isResident = isShim || isEmulator;
  // The one that serves all pods of the machine keeps what it takes, as a sandboxer does.
  const youngGeneration = isShim ? "$young " : isEmulator ? `${smallestYoungGeneration} ` : "";
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
    `lib=\${self%/*}/lib`,
    ...(isShim ? [...answerItself(program), ...smallYoungGeneration] : []),
    ...(isResident ? [giveFreedMemoryBack] : []),
    ...unsetRuntimesOwn,
    ...tellSoftLimit,
    ...writeNoCore,
    ...tellMissingLibrary(libraries),
    ...(isShim ? startInBackground(program) : []),
    // SIGUSR1 would make the runtime open a debugger port to any user of the machine.
    `exec "$lib/node" --disable-sigusr1 ${youngGeneration}"$lib/${program}.cjs" "$@"`,
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

export interface Assembly {
  readonly target: LinuxTarget;
  /** Those of linuxPrograms that were bundled; the others stay as they are. */
  readonly programs?: readonly string[];
  /** Whether to write the manual pages; by default, with all programs. */
  readonly manuals?: boolean;
  /** Whether to fill the cache of compiled code. It can only be filled on the target's own architecture. */
  readonly warm?: boolean;
}

/** Makes dist/<target>, and answers with its path. */
export async function assembleLinux({
  target,
  programs = linuxPrograms,
  manuals = programs === linuxPrograms,
  warm = true,
}: Assembly): Promise<string> {
  const folder = distributionOf(target);
  const lib = join(folder, "lib");
  const boot = join(folder, "LinuxBootFiles");
  for (const each of [lib, boot]) mkdirSync(each, { recursive: true });
  write(join(folder, "package.json"), '{"type":"commonjs"}\n', 0o644);
  putRuntime(runtimeOf(target), join(lib, "node"));
  write(join(boot, "kernel"), `${processGuestKernel}\n`, 0o644);
  const triplet = target.replace("-", "_");
  for (const each of [lib, boot]) {
    mkdirSync(join(each, "koffi", triplet), { recursive: true });
    put(join(koffiAddonFolder(target), triplet, "koffi.node"), join(each, "koffi", triplet, "koffi.node"), 0o644);
  }
  for (const name of programs) {
    const bundles = join(root, programFolder(findProgram(name)), "dist", "program");
    const { code, start, serving } = codeOf(name);
    const bundle = join(bundles, `${name}.cjs`);
    put(bundle, join(folder, code), 0o644);
    if (serving !== undefined) put(join(bundles, basename(serving)), join(folder, serving), 0o644);
    if (start !== undefined) write(join(folder, start), entry(`${name}.program.cjs`), 0o644);
    if (hasAnswers(name)) write(join(lib, answersFile(name)), await answersOf(bundle), 0o644);
  }
  for (const [name, program] of Object.entries(launchers)) {
    if (programs.includes(program)) write(join(folder, name), launcher(name, program, libraryFolders[target]), 0o755);
  }
  if (manuals) {
    const { writeManuals } = await import("./manual/write-manuals.ts");
    writeManuals(folder, packageJson.version);
  }
  const marks = marksOf(target);
  if (warm && target === host) {
    await Promise.all(programs.map((program) => warmUp(folder, program, marks)));
  } else {
    for (const each of [join(lib, "compiled"), join(boot, "compiled"), marks])
      rmSync(each, { recursive: true, force: true });
  }
  return folder;
}

/** The runtime of this machine runs the bundles for all: nothing of another architecture is loaded for this. */
async function answersOf(bundle: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [bundle, "-info"], { encoding: "buffer" });
  return printingLines(stdout);
}

function putRuntime(from: string, to: string): void {
  if (statSync(to, { throwIfNoEntry: false })?.size === statSync(from).size) return;
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    put(from, to, 0o755);
  }
}

/** Serves a pod that nobody wants, so that what is compiled for each pod is in the cache. */
async function warmUpServing(node: string, start: string): Promise<void> {
  const bundle = mkdtempSync(join(tmpdir(), "uvm-shim-warming-"));
  try {
    const env = { ...process.env, UVM_SHIM_RECORDS: "none", UVM_SHIM_HOST: "none" };
    const args = [start, "-namespace", "warming", "-id", "warming", "-socket", join(bundle, "s")];
    await new Promise<void>((resolve) => {
      const serving = execFile(node, args, { cwd: bundle, env, timeout: 10_000 }, () => resolve());
      const watcher = setInterval(() => {
        const state = join(bundle, "uvm-shim.json");
        if (!existsSync(state)) return;
        clearInterval(watcher);
        setTimeout(() => serving.kill("SIGTERM"), 1000);
      }, 10);
      serving.once("exit", () => clearInterval(watcher));
    });
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}

/** Runs a program whose bytes have changed since it last ran here. */
async function warmUp(folder: string, program: string, marks: string): Promise<void> {
  const node = join(folder, "lib", "node");
  const { code, start, serving } = codeOf(program);
  const hash = createHash("sha256").update(`${statSync(node).size}\n`);
  for (const file of [code, ...(serving === undefined ? [] : [serving])]) hash.update(readFileSync(join(folder, file)));
  const key = hash.digest("hex");
  const mark = join(marks, program);
  if (existsSync(mark) && readFileSync(mark, "utf8") === key) return;
  await new Promise<void>((resolve) => {
    const args = start === undefined ? ["-e", entry(basename(code))] : [basename(start), ...(warmings[program] ?? [])];
    execFile(node, args, { cwd: join(folder, dirname(code)), timeout: 10_000 }, () => resolve());
  });
  if (start !== undefined && serving !== undefined) await warmUpServing(node, join(folder, start));
  mkdirSync(marks, { recursive: true });
  writeFileSync(mark, key);
}
