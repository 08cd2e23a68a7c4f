/** The host on which upstream's results were made, and what a case puts there. */
import { createHash } from "node:crypto";
import type { HostFacts, RuntimeOptions } from "@uvm-shim/sandbox-wcow";

/** What every case says of its host's files. */
export interface HostFiles {
  readonly bundle: string;
  /** Those that end with a separator are folders. */
  readonly files?: readonly string[];
  readonly contents?: Readonly<Record<string, string>>;
}

export const owner = "golden-owner";

export function vmIdOf(id: string): string {
  return `${id}@vm`;
}

export function hostFactsOf({ bundle, files = [], contents = {} }: HostFiles): HostFacts {
  const made = [...files, ...Object.keys(contents), `${bundle}\\`].map(plain);
  const folders = new Set(made.flatMap(foldersOf));
  const plainFiles = new Set(made.filter((path) => !path.endsWith("\\")));
  let ids = 0;
  return {
    processors: 4,
    pathGrammar: "windows",
    build: 26_100,
    architecture: "amd64",
    executableFolder: "C:\\shim",
    hasFile: (path) => plainFiles.has(plain(path)),
    hasFolder: (path) => folders.has(`${plain(path).replace(/\\$/, "")}\\`),
    newId: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`,
    sha256: (data) => createHash("sha256").update(data).digest(),
  };
}

/** Windows' paths are the same in any case. */
function plain(path: string): string {
  return path.replaceAll("/", "\\").toLowerCase();
}

/** The folders that a path goes through, and itself if it is one. */
function foldersOf(path: string): readonly string[] {
  return [...path.matchAll(/\\/g)].map(({ index }) => path.slice(0, index + 1));
}

/** Enumeration values that are not on the wire, since they are the first ones. */
const firstValues: readonly unknown[] = ["PROCESS", "NPIPE"];

/** Options by the names of their protobuf fields. */
export function optionsOf(options: Readonly<Record<string, unknown>> | null | undefined): RuntimeOptions {
  const entries = Object.entries(options ?? {}).filter(([, value]) => !firstValues.includes(value));
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
