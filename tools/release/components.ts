/** What an archive contains of others and of ours: taken from what esbuild says of each bundle, and Node and koffi beside it. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { bundleProgram, koffiAddonFolder } from "../bundle.ts";
import { type Program, programFolder } from "../programs.ts";
import { runtimeOf, type Target } from "../targets.ts";
import { root } from "../workspace.ts";
import { programsOf, type ReleaseTarget } from "./targets.ts";

/** A package whose code is in an archive. */
export interface Component {
  readonly name: string;
  /** Absent for parts of another package, which does not tell. */
  readonly version?: string;
  /** What it is a part of, if it is no npm package. */
  readonly partOf?: string;
  /** An SPDX expression. */
  readonly license: string;
  readonly isOurs: boolean;
  /** The texts of its licence; ours have that of the repository. */
  readonly licenseTexts: readonly string[];
  /** Versions of what is compiled into it, by name. */
  readonly parts?: Readonly<Record<string, string>>;
  /** Files of the archive that are this component, relative to its folder. */
  readonly files?: readonly string[];
}

export interface ProgramContents {
  readonly program: Program;
  readonly component: Component;
  readonly components: readonly Component[];
}

export interface TargetContents {
  readonly programs: readonly ProgramContents[];
  /** Node, koffi's addon and what is compiled into that. */
  readonly runtime: readonly Component[];
}

/** What esbuild says of a bundle, of which this needs the modules that contribute bytes. */
export interface BundleFacts {
  readonly outputs: {
    readonly [file: string]: { readonly inputs: { readonly [path: string]: { readonly bytesInOutput: number } } };
  };
}

/** For modules of others; ours, and in no package. */
const standIns: ReadonlySet<string> = new Set(["tools/no-long.cjs", "tools/little-util.cjs"]);
const workspaceFolder = /^(?:apps|packages)\/[^/]+/;
const packageFolder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/;

/** The folders of the packages that contribute bytes to a bundle, relative to the root. */
export function foldersInBundle(facts: BundleFacts): readonly string[] {
  const folders = new Set<string>();
  for (const { inputs } of Object.values(facts.outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      if (bytesInOutput === 0 || standIns.has(path)) continue;
      const folder = (packageFolder.exec(path) ?? workspaceFolder.exec(path))?.[0];
      if (folder === undefined) throw new Error(`${path} is in a bundle, but in no package`);
      folders.add(folder);
    }
  }
  return [...folders].sort();
}

function readComponent(folder: string, licenseFolder = folder): Component {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    name: string;
    version: string;
    license?: string;
  };
  const isOurs = !folder.includes("node_modules");
  const licenseTexts = licensesIn(isOurs ? root : licenseFolder);
  if (manifest.license === undefined || licenseTexts.length === 0) {
    throw new Error(`${manifest.name} ${manifest.version} has no licence in ${folder}: it cannot be given on`);
  }
  return {
    name: manifest.name,
    version: manifest.version,
    license: manifest.license,
    isOurs,
    licenseTexts,
  };
}

function licensesIn(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((file) => /^(licen[cs]e|copying|notice)(\.|$)/i.test(file))
    .sort()
    .map((file) => readFileSync(join(folder, file), "utf8").trim());
}

/** Node, of which the build for Windows has no text of the licence: it is the same for all of a version. */
function nodeComponent(target: ReleaseTarget): Component {
  const packageOf = (name: Target): string => dirname(dirname(runtimeOf(name)));
  const own = readComponent(packageOf(target.name), packageOf("linux-x64"));
  const { node: version, ...parts } = process.versions;
  if (own.version !== version) throw new Error(`${own.name} is ${own.version}, but this runs on ${version}`);
  return { ...own, parts: parts as Record<string, string>, files: target.nodeFile ? [target.nodeFile] : [] };
}

/** The addon's package has no licence of its own; koffi's is beside it, with what it is compiled with. */
function koffiComponents(target: ReleaseTarget): readonly Component[] {
  const resolver = createRequire(join(root, "packages/linux-calls/package.json"));
  const koffi = dirname(resolver.resolve("koffi/indirect"));
  const vendored = readdirSync(join(koffi, "vendor")).sort();
  return [
    { ...readComponent(koffiAddonFolder(target.name), koffi), files: target.addonFiles },
    ...vendored.map((name) => ({
      name,
      partOf: `koffi ${readComponent(koffi).version}`,
      license: "MIT",
      isOurs: false,
      licenseTexts: licensesIn(join(koffi, "vendor", name)),
    })),
  ];
}

export async function contentsOf(target: ReleaseTarget): Promise<TargetContents> {
  const programs: ProgramContents[] = [];
  for (const program of programsOf(target)) {
    const own = programFolder(program);
    const { metafile } = await bundleProgram(program, target.system);
    const folders = foldersInBundle(metafile).filter((folder) => folder !== own);
    const components = folders.map((folder) => readComponent(join(root, folder)));
    programs.push({ program, component: readComponent(join(root, own)), components });
  }
  return { programs, runtime: [nodeComponent(target), ...koffiComponents(target)] };
}

/** All components of others, once each, by name. */
export function foreignComponents({ programs, runtime }: TargetContents): readonly Component[] {
  const all = [...runtime, ...programs.flatMap(({ components }) => components)].filter(({ isOurs }) => !isOurs);
  const byId = new Map(all.map((component) => [`${component.name} ${component.version}`, component]));
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, component]) => component);
}
