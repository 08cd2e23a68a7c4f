/**
 * Makes dist/win32-x64: each shim as one file, out of Node for Windows, its bundle and koffi's addon; and the tool for
 * diagnosis as a script for the Node that the machine has, since another such file would have 100 MiB.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { koffiAddonFolder } from "./bundle.ts";
import { bundleName, findProgram, programFolder, programs, programVersion, servingName } from "./programs.ts";
import { runtimeOf } from "./targets.ts";
import { editResources } from "./windows-resources.ts";
import { root } from "./workspace.ts";

const windowsDistribution = join(root, "dist", "win32-x64");

const executables = [
  { name: "containerd-shim-lcow-v2", program: "shim-lcow", description: "containerd shim for Linux containers" },
  { name: "containerd-shim-wcow-v2", program: "shim-wcow", description: "containerd shim for Windows containers" },
] as const;

/** Makes the executables whose parts have changed, and answers with their paths. */
export async function assembleWindows(): Promise<readonly string[]> {
  mkdirSync(windowsDistribution, { recursive: true });
  const node = readFileSync(runtimeOf("win32-x64"));
  const parts = programs.flatMap((program): (readonly [string, string])[] => {
    if (!program.isPart || !program.systems.includes("win32")) return [];
    const bundle = join(root, programFolder(program), "dist", "program", `${bundleName(program, "win32")}.cjs`);
    return [[`${program.name}.cjs`, bundle]];
  });
  const koffi = join(koffiAddonFolder("win32-x64"), "win32_x64", "koffi.node");
  const tools = ["windows-executables.ts", "windows-resources.ts"].map((name) => join(root, "tools", name));
  const made: string[] = [];
  for (const { name, program, description } of executables) {
    const version = programVersion(findProgram(program));
    const bundle = join(root, "apps", program, "dist", "program", `${bundleName(findProgram(program), "win32")}.cjs`);
    const target = join(windowsDistribution, `${name}.exe`);
    const stamp = join(root, "apps", program, "dist", "program", "executable.stamp");
    const serving = servingName(findProgram(program), "win32");
    const own: typeof parts = [
      ...parts,
      [`${program}.serving.cjs`, join(root, "apps", program, "dist", "program", `${serving}.cjs`)],
    ];
    const inputs = [bundle, koffi, ...own.map(([, file]) => file), ...tools].map((file) => readFileSync(file));
    const content = digest([node, ...inputs, Buffer.from(version)]);
    if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === content) continue;
    pack({ bundle, koffi, parts: own, target, node: editResources(node, { name, version, description }) });
    writeFileSync(stamp, content);
    made.push(target);
  }
  placeTool();
  return made;
}

const toolLauncher = `@echo off
rem Any Node from 22 on: the first one in PATH, or the one that UVM_DIAG_NODE names.
setlocal
if not defined UVM_DIAG_NODE set UVM_DIAG_NODE=node.exe
"%UVM_DIAG_NODE%" "%~dp0uvm-diag.cjs" %*
if %errorlevel% equ 9009 echo uvm-diag: "%UVM_DIAG_NODE%" is not there: it needs Node 22 or later in PATH, or its path in UVM_DIAG_NODE>&2
exit /b %errorlevel%
`;

function placeTool(): void {
  const name = bundleName(findProgram("uvm-diag"), "win32");
  copyFileSync(
    join(root, "apps", "uvm-diag", "dist", "program", `${name}.cjs`),
    join(windowsDistribution, "uvm-diag.cjs"),
  );
  writeFileSync(join(windowsDistribution, "uvm-diag.cmd"), toolLauncher.replaceAll("\n", "\r\n"));
}

function pack(parts: {
  readonly node: Uint8Array;
  readonly bundle: string;
  readonly koffi: string;
  /** What the executable loads only if it needs it: name and file of each. */
  readonly parts: readonly (readonly [string, string])[];
  readonly target: string;
}): void {
  const work = mkdtempSync(`${parts.target}.`);
  try {
    // The executable remembers the path of its bundle, which must not tell where it was built, nor differ from place to place.
    copyFileSync(parts.bundle, join(work, "shim.cjs"));
    writeFileSync(join(work, "node.exe"), parts.node);
    const settings = {
      main: "shim.cjs",
      mainFormat: "commonjs",
      executable: "node.exe",
      output: "shim.exe",
      assets: { "koffi.node": parts.koffi, ...Object.fromEntries(parts.parts) },
      // containerd reads standard error of `start` as a part of its answer.
      disableExperimentalSEAWarning: true,
      useSnapshot: false,
      // Compiled code works on one system only, and this is built on another.
      useCodeCache: false,
      // The first is what the shim passes to itself when it is not a single executable. Without the second, any user who may
      // open the process could make it open a debugger port, which any user of the machine could then use.
      execArgv: ["--max-semi-space-size=2", "--disable-sigusr1"],
      // NODE_OPTIONS is meant for other programs.
      execArgvExtension: "none",
    };
    writeFileSync(join(work, "sea.json"), JSON.stringify(settings));
    const { status, stderr } = spawnSync(process.execPath, ["--build-sea", "sea.json"], {
      cwd: work,
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`node --build-sea for ${parts.target}: exit ${status}\n${stderr}`);
    renameSync(join(work, "shim.exe"), parts.target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function digest(contents: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const content of contents) hash.update(`${content.length}\n`).update(content);
  return hash.digest("hex");
}
