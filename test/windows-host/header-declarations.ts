/** What the Windows headers of mingw-w64 declare, as the compiler's preprocessor leaves it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { mustRun, searchPath } from "@uvm-shim/test-support/command";
import { dllSources, headerOptions } from "./build-test-host.ts";

export interface Declaration {
  readonly name: string;
  /** Types as the header writes them. */
  readonly result: string;
  readonly parameters: readonly string[];
}

/** Headers in the order in which they have to be included. */
export const includedHeaders = [
  "winsock2.h",
  "ws2tcpip.h",
  "mswsock.h",
  "windows.h",
  "objbase.h",
  "psapi.h",
  "sddl.h",
  "aclapi.h",
  "computecore.h",
  "computenetwork.h",
  "computestorage.h",
  "virtdisk.h",
  "hvsocket.h",
  "computecore-newer.h",
  "vmcompute-layers.h",
] as const;

export const includes = includedHeaders.map((header) => `#include <${header}>\n`).join("");

/** The preprocessed text of each header, by its file name. */
export async function preprocessedHeaders(): Promise<ReadonlyMap<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), "headers-"));
  try {
    const source = join(folder, "all.c");
    writeFileSync(source, includes);
    const args = ["-E", "-std=c17", ...headerOptions, "-I", dllSources, source];
    const text = await mustRun("x86_64-w64-mingw32-gcc", args, {
      environment: { ...process.env, PATH: searchPath() },
    });
    return textsByFile(text);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The lines of each file; `# <line> "<file>"` says whose lines follow. */
function textsByFile(preprocessed: string): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  let file = "";
  for (const line of preprocessed.split("\n")) {
    const marker = /^# \d+ "([^"]+)"/.exec(line)?.[1];
    if (marker !== undefined) file = basename(marker);
    else texts.set(file, `${texts.get(file) ?? ""}${line}\n`);
  }
  return texts;
}

/** Every function that the text declares and does not define. */
export function declarationsIn(text: string): readonly Declaration[] {
  return statements(withoutAttributes(text)).flatMap((statement) => {
    const found = /^(?<result>[\w\s*]+?[\s*])(?<name>\w+)\s*\((?<parameters>.*)\)$/s.exec(statement.trim())?.groups;
    if (found === undefined || /\btypedef\b/.test(statement)) return [];
    const { result = "", name = "", parameters = "" } = found;
    return [{ name, result: plain(result), parameters: splitParameters(parameters).map(typeOf) }];
  });
}

/** `__attribute__((...))` and `__declspec(...)` with whatever they nest, and words without meaning here. */
function withoutAttributes(text: string): string {
  const inner = String.raw`\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)`;
  return text
    .replace(new RegExp(String.raw`\b(?:__attribute__|__declspec)\s*${inner}`, "g"), " ")
    .replace(/\b(?:extern|__extension__|__stdcall|WINAPI)\b/g, " ");
}

/** What semicolons end outside of braces. */
function statements(text: string): readonly string[] {
  const found: string[] = [];
  let depth = 0;
  let current = "";
  for (const character of text) {
    if (character === "{") depth++;
    if (character === ";" && depth === 0) {
      found.push(current);
      current = "";
    } else current += character;
    if (character === "}") {
      depth--;
      // A function's body, behind which no semicolon comes.
      if (depth === 0 && /\)\s*\{/.test(current)) current = "";
    }
  }
  return found;
}

function splitParameters(text: string): readonly string[] {
  const trimmed = text.trim();
  return trimmed === "" || trimmed === "void" || trimmed === "VOID" ? [] : trimmed.split(",");
}

/** The type of a parameter, without its name. */
function typeOf(parameter: string): string {
  const text = plain(parameter);
  const array = /^(.*?)\s*\w*\[\d*\]$/.exec(text)?.[1];
  if (array !== undefined) return `${array} *`;
  const [, type = text, name = ""] = /^(.*[\s*])(\w+)$/.exec(text) ?? [];
  return typeWords.has(name) || /^(?:const|struct|enum|unsigned)$/.test(type.trim()) ? text : type.trim();
}

const typeWords = new Set(["int", "long", "short", "char", "void", "unsigned"]);

function plain(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
