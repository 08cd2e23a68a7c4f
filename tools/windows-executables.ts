/** Makes dist/win32-x64: each shim as one file, out of Node for Windows, its bundle and koffi's addon. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { koffiAddonFolder } from "./bundle.ts";
import { bundleName, findProgram, programVersion } from "./programs.ts";
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
  const koffi = join(koffiAddonFolder("win32-x64"), "win32_x64", "koffi.node");
  const tools = ["windows-executables.ts", "windows-resources.ts"].map((name) => join(root, "tools", name));
  const made: string[] = [];
  for (const { name, program, description } of executables) {
    const version = programVersion(findProgram(program));
    const bundle = join(root, "apps", program, "dist", "program", `${bundleName(findProgram(program), "win32")}.cjs`);
    const target = join(windowsDistribution, `${name}.exe`);
    const stamp = join(root, "apps", program, "dist", "program", "executable.stamp");
    const parts = digest([node, ...[bundle, koffi, ...tools].map((file) => readFileSync(file)), Buffer.from(version)]);
    if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === parts) continue;
    pack({ bundle, koffi, target, node: editResources(node, { name, version, description }) });
    writeFileSync(stamp, parts);
    made.push(target);
  }
  return made;
}

function pack(parts: {
  readonly node: Uint8Array;
  readonly bundle: string;
  readonly koffi: string;
  readonly target: string;
}): void {
  const work = mkdtempSync(`${parts.target}.`);
  try {
    const [executable, output, configuration] = ["node.exe", "shim.exe", "sea.json"].map((name) => join(work, name));
    writeFileSync(executable as string, parts.node);
    const settings = {
      main: parts.bundle,
      mainFormat: "commonjs",
      executable,
      output,
      assets: { "koffi.node": parts.koffi },
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
    writeFileSync(configuration as string, JSON.stringify(settings));
    const { status, stderr } = spawnSync(process.execPath, ["--build-sea", configuration as string], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`node --build-sea for ${parts.target}: exit ${status}\n${stderr}`);
    renameSync(output as string, parts.target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function digest(contents: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const content of contents) hash.update(`${content.length}\n`).update(content);
  return hash.digest("hex");
}
