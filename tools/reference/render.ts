/** docs/reference.md, made of the tables that the programs themselves run on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ProgramManual, VariableManual } from "../../packages/command-line/src/index.ts";
import { optionKinds } from "../../packages/shim/src/program/runtime-options.ts";
import { manuals } from "../manual/manuals.ts";
import { root } from "../workspace.ts";
import { type AnnotationText, annotationGroups } from "./annotation-texts.ts";
import { code, prose, table, wrap } from "./markdown.ts";
import { optionTexts } from "./option-texts.ts";
import { type AnnotationRow, annotationRowsOfAll, type Guests } from "./rows.ts";

export const referenceFile = "docs/reference.md";

export function renderReference(): string {
  return `${[
    introduction(),
    "## Executables",
    ...manuals.map((manual) => executable(manual, manuals)),
    "## Environment variables",
    environment(),
    "## Runtime options",
    runtimeOptions(),
    "## Annotations",
    annotations(),
    readFileSync(join(root, "tools/reference/log-format.md"), "utf8").trim(),
  ].join("\n\n")}\n`;
}

function introduction(): string {
  return [
    "# Reference",
    "",
    "All executables with their flags, exit codes and files; all environment variables, runtime options and annotations; the",
    "form of the log. How they are used: [linux.md](linux.md), [windows.md](windows.md), [kubernetes.md](kubernetes.md).",
    "",
    "<!-- Made by `npm run reference` from the tables in the code. Change those. -->",
  ].join("\n");
}

function executable(manual: ProgramManual, all: readonly ProgramManual[]): string {
  const twin = all.find((other) => other.name === manual.name.replace("wcow", "lcow"));
  if (twin !== undefined && twin !== manual) {
    return `### ${manual.name}\n\n${sentence(manual.summary)}. All else is as with ${twin.name}.`;
  }
  const { name, summary, synopsis, description, dash, options, commands, exitCodes, files = [] } = manual;
  const written = (option: (typeof options)[number]): string =>
    [...(option.short === undefined ? [] : [`-${option.short}`]), `${dash}${option.name}`]
      .map((word) => code(option.value === undefined ? word : `${word} ${option.value}`))
      .join(", ");
  const lines = [
    `### ${name}`,
    `${sentence(prose(summary))}.`,
    `\`\`\`text\n${synopsis.map((line) => `${name} ${line}`).join("\n")}\n\`\`\``,
    ...description.map((paragraph) => wrap(prose(paragraph))),
  ];
  const entries = [
    ...commands.map((command) => [code(`${command.name} ${command.synopsis}`.trim()), prose(command.summary)] as const),
    ...commands.flatMap((command) =>
      (command.options ?? []).map(
        (option) => [`${code(command.name)} ${written(option)}`, prose(option.meaning)] as const,
      ),
    ),
    ...options.map((option) => [written(option), prose(option.meaning)] as const),
  ];
  lines.push(table(["argument", "meaning"], entries));
  lines.push(
    table(
      ["exit code", "meaning"],
      exitCodes.map(({ code: number, meaning }) => [`${number}`, prose(meaning)]),
    ),
  );
  if (files.length > 0)
    lines.push(
      table(
        ["file", "what it is"],
        files.map(({ path, meaning }) => [code(path), prose(meaning)]),
      ),
    );
  return lines.join("\n\n");
}

function environment(): string {
  const found = new Map<string, { readonly variable: VariableManual; readonly readers: string[] }>();
  for (const { name, environment: variables = [] } of manuals) {
    for (const variable of variables) {
      const known = found.get(variable.name);
      if (known === undefined) found.set(variable.name, { variable, readers: [name] });
      else known.readers.push(name);
    }
  }
  const rows = [...found.values()].map(({ variable: { name, value = "", meaning, standard = "" }, readers }) => [
    name.split(", ").map(code).join(", "),
    value === "" ? "" : code(value),
    prose(standard),
    readers
      .map((reader) => reader.replace(/^containerd-shim-(lcow|wcow)-v2$/, "shims"))
      .filter(isFirst)
      .join(", "),
    prose(meaning),
  ]);
  return [
    wrap(
      `An empty variable counts as not set. \`start\` refuses a wrong value with a sentence that names it. Programs use ${internalVariables.map(code).join(", ")} among themselves: nobody sets them.`,
    ),
    table(["variable", "value", "default", "read by", "meaning"], rows),
  ].join("\n\n");
}

function runtimeOptions(): string {
  const rows = Object.entries(optionTexts).map(([field, { what, standard = "", only, withoutEffect }]) => {
    const kind = optionKinds[field as keyof typeof optionKinds];
    return [
      code(snakeCase(field)),
      typeof kind === "string"
        ? (typeNames[kind] ?? kind)
        : kind.map((word, index) => `${index} (${code(word)})`).join(", "),
      standard,
      withoutEffect ? "no effect" : (only ?? "both"),
      prose(what),
    ];
  });
  return [
    wrap(
      "In the `options` table of a runtime in containerd's configuration ([linux.md](linux.md), [windows.md](windows.md)), or in a file that `ctr run --runtime-config-path` names. Names are accepted in the spelling below, in Go's (`VmProcessorCount`), and in any case. An unknown name is refused; an option without effect is reported in the log.",
    ),
    "",
    table(["option", "type", "default", "guests", "meaning"], rows),
  ].join("\n");
}

/** By which the parts of a shim, or host and guest, tell each other something. */
export const internalVariables = [
  "UVM_SHIM_GUEST_BOOT",
  "UVM_SHIM_LAUNCHER_WAITS",
  "UVM_SHIM_OPEN_FILES",
  "UVM_SHIM_OPTIONS_BYTES",
  "UVM_SHIM_READY_DESCRIPTOR",
  "UVM_SHIM_VM_GUEST",
];

const typeNames: { readonly [kind: string]: string } = {
  boolean: "boolean",
  number: "whole number",
  string: "text",
  strings: "table of texts",
};

function snakeCase(field: string): string {
  return /^[A-Z]{2}/.test(field) ? field : field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function annotations(): string {
  const rows = annotationRowsOfAll();
  const sections = annotationGroups.flatMap(({ title, texts }) => {
    const lines = Object.entries(texts).map(([key, text]) => {
      const row = rows.get(key);
      if (row === undefined) throw new Error(`there is no annotation ${key}`);
      return annotation(row, text);
    });
    return [`### ${title}`, table(["annotation", "of", "guests", "value", "default", "meaning"], lines)];
  });
  return [
    [
      `${rows.size} keys. A pod's annotations reach the shim where containerd passes them on: \`pod_annotations\` and`,
      "`container_annotations` of the runtime, for example `['io.microsoft.*', 'microsoft.com/*', 'io.uvm-shim.*']`.",
      "Those of a VM have to be on the pod; `default_container_annotations` among the runtime options has them for a node.",
    ].join("\n"),
    [
      "Booleans are `1 t T TRUE true True` and `0 f F FALSE false False`. A value that cannot be used is refused with its key,",
      "and an unknown key is reported in the log with the nearest known one. The forms below are what the readers themselves",
      "say that they accept.",
    ].join("\n"),
    ...sections,
  ].join("\n\n");
}

function annotation(row: AnnotationRow, { what, standard = "", windows }: AnnotationText): readonly string[] {
  const reach = [...new Set(row.readers.map(({ of }) => (of === "VM" ? "pod" : "container")))];
  const values = [...new Set(row.readers.map(({ accepted }) => shortForm(accepted)))];
  return [
    code(row.key),
    reach.join(", "),
    guestsOf(row),
    values.map(prose).join("; "),
    both(standard, windows?.standard),
    prose(both(what, windows?.what)),
  ];
}

function both(linux: string, windows: string | undefined): string {
  return windows === undefined ? linux : `Linux: ${linux.replace(/\.$/, "")}. Windows: ${windows}`;
}

function guestsOf({ readers, refused, withoutEffect }: AnnotationRow): string {
  const read = (["Linux", "Windows"] as const).filter((guests) => readers.some((reader) => reader.guests === guests));
  const say = (guests: readonly Guests[], word: string): string[] =>
    guests.length === 0 ? [] : [`${word} for ${guests.join(" and ")}`];
  const parts = [
    ...(read.length === 0 ? [] : [read.length === 2 ? "both" : (read[0] ?? "")]),
    ...say(refused, "refused"),
    ...say(withoutEffect, "no effect"),
  ];
  return parts.join("; ");
}

/** What a reader says that it expects, without the words that are the same everywhere. */
function shortForm(accepted: string): string {
  if (/^one of 1,? t,? T/.test(accepted)) return "boolean";
  return accepted
    .replace(/^text without control characters$/, "text")
    .replace(/^a whole number from (\d+) to (\d+)$/, "$1 to $2")
    .replace(/^whole numbers from (\d+) to (\d+) separated by commas$/, "$1 to $2, separated by commas")
    .replace(/^one of (.*)$/, (_, words: string) => words.split(", ").map(code).join(", "));
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function isFirst(word: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(word) === index;
}
