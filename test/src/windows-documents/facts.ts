/** The host on which upstream's results were made, and what a case puts there. */
import { createHash } from "node:crypto";
import { windowsPaths } from "@uvm-shim/lifecycle";
import type { HostFacts, RuntimeOptions } from "@uvm-shim/sandbox-wcow";

/** What every case says of its host's files. */
export interface HostFiles {
  readonly bundle: string;
  /** Those that end with a separator are folders. */
  readonly files?: readonly string[] | null;
  readonly contents?: Readonly<Record<string, string>> | null;
}

export const owner = "golden-owner";

export function vmIdOf(id: string): string {
  return `${id}@vm`;
}

export function hostFactsOf({ bundle, ...asked }: HostFiles): HostFacts {
  const { files, contents } = { files: asked.files ?? [], contents: asked.contents ?? {} };
  const made = [...files, ...Object.keys(contents), `${bundle}\\`].filter((path) => windowsPaths.isAbsolute(path));
  const plainFiles = new Set(made.filter((path) => !isFolder(path)).map((path) => windowsPaths.key(path)));
  const folders = new Set(made.flatMap((path) => foldersOf(path)));
  let ids = 0;
  return {
    processors: 4,
    pathGrammar: "windows",
    build: 26_100,
    architecture: "amd64",
    executableFolder: "C:\\shim",
    hasFile: (path) => windowsPaths.isAbsolute(path) && !isFolder(path) && plainFiles.has(windowsPaths.key(path)),
    hasFolder: (path) => windowsPaths.isAbsolute(path) && folders.has(windowsPaths.key(path)),
    newId: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`,
    sha256: (data) => createHash("sha256").update(data).digest(),
  };
}

function isFolder(path: string): boolean {
  return /[\\/]$/.test(path);
}

/** The keys of the folders that a path goes through, and of itself if it is one. */
function foldersOf(path: string): readonly string[] {
  const { folder, name } = windowsPaths.split(path);
  const above = name === "" ? [] : foldersOf(`${folder}\\`);
  return isFolder(path) ? [windowsPaths.key(path), ...above] : above;
}

/** Enumeration values that are not on the wire, since they are the first ones. */
const firstValues: readonly unknown[] = ["PROCESS", "NPIPE"];

/** Options by the names of their protobuf fields. */
export function optionsOf(options: Readonly<Record<string, unknown>> | null | undefined): RuntimeOptions {
  const entries = Object.entries(options ?? {}).filter(([, value]) => value !== null && !firstValues.includes(value));
  return Object.fromEntries(
    entries.map(([field, value]) => [
      field.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

/** JSON as JSON.parse gives it, where large numbers are rounded. */
export function asParsed(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(asParsed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, asParsed(member)]));
}

/** Leaves out what is false, zero or empty text, as upstream does. */
export function withoutZeros(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeros);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => Boolean(member));
  return Object.fromEntries(members.map(([name, member]) => [name, withoutZeros(member)]));
}
