/**
 * Makes what a release consists of beside the npm packages, in dist/release: an archive and its bill of materials for each
 * target, the install scripts and SHA256SUMS. `npm run release:archives [-- --only linux-x64]`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { assembleLinux } from "../assemble.ts";
import { writeBundles } from "../bundle.ts";
import { sourceCommit } from "../commit.ts";
import { programs } from "../programs.ts";
import { assembleWindows } from "../windows-executables.ts";
import { root } from "../workspace.ts";
import { packTar, packZip } from "./archive.ts";
import { contentsOf } from "./components.ts";
import { noticesOf } from "./notices.ts";
import { billOf } from "./sbom.ts";
import { archiveName, type ReleaseTarget, releaseVersion, targets } from "./targets.ts";

export const billName = "uvm-shim.cdx.json";
export const noticesName = "THIRD-PARTY-NOTICES";
const scripts = { linux: "install.sh", win32: "install.ps1" } as const;

export interface Sources {
  /** The folder with what was built for the target. */
  readonly built: string;
  readonly commit: string;
  readonly date: Date;
}

/** Lays out an archive's folder in `parent`: what was built, without what a program writes itself, and the texts. */
export async function layOut(target: ReleaseTarget, sources: Sources, parent: string): Promise<string> {
  const name = archiveName(target);
  const folder = join(parent, name);
  cpSync(sources.built, folder, { recursive: true, filter: (file) => basename(file) !== "compiled" });
  for (const text of ["LICENSE", scripts[target.system]]) {
    copyFileSync(join(root, text), join(folder, text));
    chmodSync(join(folder, text), text.endsWith(".sh") ? 0o755 : 0o644);
  }
  if (target.system === "linux")
    cpSync(join(root, "packaging", "systemd"), join(folder, "systemd"), { recursive: true });
  const contents = await contentsOf(target);
  writeFileSync(join(folder, noticesName), noticesOf(contents));
  const { commit, date } = sources;
  writeFileSync(join(folder, billName), billOf(contents, { name, version: releaseVersion(), commit, date, folder }));
  return folder;
}

/** Makes a target's archive in `output`, and answers with its path. */
export async function makeArchive(target: ReleaseTarget, sources: Sources, output: string): Promise<string> {
  const parent = mkdtempSync(join(tmpdir(), "uvm-shim-release-"));
  try {
    const folder = await layOut(target, sources, parent);
    const archive = join(output, `${archiveName(target)}.${target.format}`);
    const pack = target.format === "zip" ? packZip : packTar;
    await pack(folder, archive, sources.date);
    copyFileSync(join(folder, billName), join(output, `${archiveName(target)}.cdx.json`));
    return archive;
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

/** The digests of all files of a folder, as sha256sum writes and checks them. */
export function checksums(folder: string): string {
  const files = readdirSync(folder, { withFileTypes: true }).flatMap((each) =>
    each.isFile() && each.name !== "SHA256SUMS" ? [each.name] : [],
  );
  const lines = files.sort().map((file) => {
    const digest = createHash("sha256")
      .update(readFileSync(join(folder, file)))
      .digest("hex");
    return `${digest}  ${file}\n`;
  });
  return lines.join("");
}

/** The time of the commit, or what SOURCE_DATE_EPOCH says: the same sources give the same archives on any day. */
export function sourceDate(env: NodeJS.ProcessEnv = process.env): Date {
  const { stdout } = spawnSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" });
  return new Date(Number(env.SOURCE_DATE_EPOCH ?? stdout ?? 0) * 1000);
}

/** Builds a target anew, so that nothing of an earlier build is packed. */
async function build({ name, system }: ReleaseTarget): Promise<string> {
  const folder = join(root, "dist", name);
  rmSync(folder, { recursive: true, force: true });
  const names = programs.filter(({ systems }) => systems.includes(system));
  for (const program of names) await writeBundles(program, [system]);
  if (name === "win32-x64") await assembleWindows();
  else await assembleLinux({ target: name, warm: false });
  return folder;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: "string", multiple: true } } });
  const wanted = values.only ?? targets.map(({ name }) => name);
  const unknown = wanted.filter((name) => !targets.some((target) => target.name === name));
  if (unknown.length > 0) {
    throw new Error(`no target ${unknown.join(", ")}: there are ${targets.map(({ name }) => name).join(", ")}`);
  }
  const output = join(root, "dist", "release");
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  for (const target of targets.filter(({ name }) => wanted.includes(name))) {
    const built = await build(target);
    const archive = await makeArchive(target, { built, commit: sourceCommit(), date: sourceDate() }, output);
    process.stdout.write(`made ${archive}\n`);
  }
  for (const script of Object.values(scripts)) copyFileSync(join(root, script), join(output, script));
  writeFileSync(join(output, "SHA256SUMS"), checksums(output));
}

if (import.meta.main) await main();
