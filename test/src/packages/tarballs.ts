import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { importsOf } from "../../../tools/check/import-scan.ts";
import { manifests, root } from "../../../tools/workspace.ts";
import { execute, toolPaths } from "./tools.ts";

export interface Tarball {
  readonly name: string;
  /** Folder of the package in the workspace. */
  readonly folder: string;
  readonly file: string;
}

export interface PackedManifest {
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** Packs every published package as it would be published. */
export async function packAll(into: string): Promise<readonly Tarball[]> {
  const published = [...manifests()].filter(
    ([folder, manifest]) => folder.startsWith("packages/") && manifest.private !== true,
  );
  const waiting = [...published];
  const packer = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await execute("pnpm", ["pack", "--pack-destination", into], {
        cwd: join(root, next[0]),
        env: { ...process.env, UVM_SHIM_PACKAGES: "built" },
      });
    }
  };
  await Promise.all([packer(), packer()]);
  const files = readdirSync(into);
  return published.map(([folder, { name }]) => {
    const start = name.replace("@", "").replace("/", "-");
    const file = files.find((each) => each.replace(/-\d.*$/, "") === start);
    if (file === undefined) throw new Error(`${name} was not packed`);
    return { name, folder, file: join(into, file) };
  });
}

/** What publint and attw find in a tarball. */
export async function lint({ file }: Tarball): Promise<readonly string[]> {
  const bytes = readFileSync(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  const { publint } = (await import(pathToFileURL(toolPaths.publint).href)) as {
    publint(options: object): Promise<{ messages: readonly { readonly code: string; readonly type: string }[] }>;
  };
  const { messages } = await publint({ pack: { tarball: buffer }, strict: true });
  const attw = (await import(pathToFileURL(toolPaths.attw).href)) as {
    createPackageFromTarballData(data: Uint8Array): unknown;
    checkPackage(data: unknown): Promise<{ readonly problems?: readonly { readonly kind: string }[] }>;
  };
  const { problems = [] } = await attw.checkPackage(attw.createPackageFromTarballData(new Uint8Array(buffer)));
  // The packages are ES modules, and the resolution of Node 10 knows no exports.
  const meant = ["CJSResolvesToESM", "NoResolution"];
  return [
    ...messages.filter(({ type }) => type !== "suggestion").map(({ code }) => `publint: ${code}`),
    ...problems.filter(({ kind }) => !meant.includes(kind)).map(({ kind }) => `attw: ${kind}`),
  ];
}

/** What an installed package lacks: files that it names, its licence, and packages that it imports without declaring them. */
export function lacksOf(folder: string, manifest: PackedManifest): readonly string[] {
  const lacks: string[] = [];
  for (const [entry, { types, default: code }] of Object.entries(manifest.exports)) {
    for (const file of [types, code]) if (!existsSync(join(folder, file))) lacks.push(`${entry}: no ${file}`);
  }
  for (const file of ["LICENSE", "README.md"]) if (!existsSync(join(folder, file))) lacks.push(`no ${file}`);
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
  const undeclared = new Set<string>();
  for (const file of globSync("dist/**/*.{js,d.ts}", { cwd: folder })) {
    const text = readFileSync(join(folder, file), "utf8");
    const names = importsOf(file, text).map(({ specifier }) => packageOf(specifier));
    if (text.startsWith('/// <reference types="node" />')) names.push("@types/node");
    for (const name of names) if (name !== undefined && declared[name] === undefined) undeclared.add(name);
    if (file.endsWith(".js") && text.includes("sourceMappingURL")) {
      const map = JSON.parse(readFileSync(join(folder, `${file}.map`), "utf8")) as { sourcesContent?: unknown[] };
      if (map.sourcesContent?.length !== 1) lacks.push(`${file}.map has no source`);
    }
  }
  return [...lacks, ...[...undeclared].map((name) => `imports ${name}, which it does not declare`)];
}

function packageOf(specifier: string): string | undefined {
  if (/^[.#]|^node:/.test(specifier) || builtinModules.includes(specifier)) return undefined;
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}
