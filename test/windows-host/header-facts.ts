/** Sizes, offsets and values of the Windows headers, as a compiled program prints them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dllSources, headerOptions } from "./build-test-host.ts";
import { compileForWindows } from "./compile.ts";
import { includes } from "./header-declarations.ts";
import { runUnderWine } from "./windows-machine.ts";

/** A structure as C knows it: its type, and the members that are asked for, by the names that the answer has. */
export interface AskedStructure {
  readonly type: string;
  readonly members: Readonly<Record<string, string>>;
}

export interface AskedFacts {
  readonly structures: Readonly<Record<string, AskedStructure>>;
  /** Expressions of C whose value is a number of 64 bits or less, by the names that the answer has. */
  readonly constants: Readonly<Record<string, string>>;
  /** GUID objects of C. */
  readonly guids: Readonly<Record<string, string>>;
  readonly types: readonly string[];
}

export interface TypeFacts {
  readonly size: number;
  /** "text" is a pointer to characters of 16 bits that are not written. */
  readonly kind: "integer" | "pointer" | "text" | "other";
}

export interface HeaderFacts {
  readonly structures: Readonly<
    Record<string, { readonly size: number; readonly offsets: Readonly<Record<string, number>> }>
  >;
  /** As unsigned numbers of as many bits as the expression has. */
  readonly constants: Readonly<Record<string, string>>;
  readonly guids: Readonly<Record<string, string>>;
  readonly types: Readonly<Record<string, TypeFacts>>;
}

const head = `#define INITGUID
${includes}#include "virtdisk-sdk.h"
#include <stddef.h>
#include <stdio.h>

static void guid(const char *name, const GUID *value) {
  printf("\\"%s\\":\\"%08lx-%04x-%04x-%02x%02x-", name, value->Data1, value->Data2, value->Data3, value->Data4[0],
         value->Data4[1]);
  for (int index = 2; index < 8; index++) printf("%02x", value->Data4[index]);
  printf("\\"");
}

static unsigned long long bits(unsigned long long value, size_t size) {
  return size == 8 ? value : value & ((1ull << size * 8) - 1);
}

/* __builtin_classify_type: 1 is an integer, 5 a pointer. */
static const char *kind(int class, int text) {
  return text ? "text" : class == 1 ? "integer" : class == 5 ? "pointer" : "other";
}

int main(void) {
`;

/** A JSON object whose members are printed one by one. */
function printObject(name: string, members: readonly string[]): readonly string[] {
  const separated = members.flatMap((member, index) => (index === 0 ? [member] : [`printf(",");`, member]));
  return [`printf("\\"${name}\\":{");`, ...separated, `printf("}");`];
}

function printNumber(name: string, expression: string): string {
  return `printf("\\"%s\\":%llu", ${JSON.stringify(name)}, (unsigned long long)(${expression}));`;
}

function programFor({ structures, constants, guids, types }: AskedFacts): string {
  const structureMembers = Object.entries(structures).map(([name, { type, members }]) =>
    [
      `printf("\\"${name}\\":{");`,
      printNumber("size", `sizeof(${type})`),
      `printf(",");`,
      ...printObject(
        "offsets",
        Object.entries(members).map(([member, path]) => printNumber(member, `offsetof(${type}, ${path})`)),
      ),
      `printf("}");`,
    ].join("\n"),
  );
  const constantMembers = Object.entries(constants).map(
    ([name, value]) =>
      `printf("\\"%s\\":\\"%llu\\"", "${name}", bits((unsigned long long)(${value}), sizeof(${value})));`,
  );
  const guidMembers = Object.entries(guids).map(
    ([name, value]) => `{ const GUID value = ${value}; guid("${name}", &value); }`,
  );
  const typeMembers = types.map((type) => {
    const text = `_Generic((${type}){0}, const WCHAR *: 1, default: 0)`;
    const classified = `kind(__builtin_classify_type((${type}){0}), ${text})`;
    return `printf("\\"%s\\":{\\"size\\":%llu,\\"kind\\":\\"%s\\"}", ${JSON.stringify(type)}, (unsigned long long)sizeof(${type}), ${classified});`;
  });
  return [
    head,
    `printf("{");`,
    ...printObject("structures", structureMembers),
    `printf(",");`,
    ...printObject("constants", constantMembers),
    `printf(",");`,
    ...printObject("guids", guidMembers),
    `printf(",");`,
    ...printObject("types", typeMembers),
    `printf("}");`,
    "return 0;",
    "}",
    "",
  ].join("\n");
}

/** Compiles and runs a program that answers. What no header knows fails to compile. */
export async function headerFacts(asked: AskedFacts): Promise<HeaderFacts> {
  const folder = mkdtempSync(join(tmpdir(), "header-facts-"));
  try {
    const source = join(folder, "facts.c");
    const program = join(folder, "facts.exe");
    writeFileSync(source, programFor(asked));
    await compileForWindows([source], program, [...headerOptions, "-I", dllSources]);
    const { status, stdout, stderr } = await runUnderWine({ program, folders: [folder] });
    if (status !== 0) throw new Error(`the program that prints the headers' facts exited with ${status}: ${stderr}`);
    return JSON.parse(stdout.toString()) as HeaderFacts;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
