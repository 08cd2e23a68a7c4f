import { variableMeaning } from "./help.ts";
import type { CommandManual, OptionManual, ProgramManual } from "./manual.ts";

/** A page in the man macros of roff. */
export function manPage(manual: ProgramManual, of: { readonly version: string; readonly date: string }): string {
  const { name, dash } = manual;
  const [page, section, source] = [name.toUpperCase(), `${manual.section ?? 8}`, `uvm-shim ${of.version}`].map(quoted);
  return `${[
    // A date is no text: readers parse it.
    `.TH ${page} ${section} "${of.date}" ${source} "uvm\\-shim"`,
    ...heading("NAME"),
    text(`${name} - ${manual.summary}`),
    ...heading("SYNOPSIS"),
    ...manual.synopsis.flatMap((line, index) => [...(index > 0 ? [".br"] : []), `\\fB${text(name)}\\fR ${text(line)}`]),
    ...heading("DESCRIPTION"),
    ...paragraphs(manual.description),
    ...(manual.commands.length === 0 ? [] : heading("COMMANDS")),
    ...manual.commands.flatMap((command) => commandLines(command, manual)),
    ...heading("OPTIONS"),
    ...manual.options.flatMap((option) => optionLines(option, dash)),
    ...definitions(
      "EXIT STATUS",
      manual.exitCodes.map(({ code, meaning }) => [`${code}`, meaning] as const),
    ),
    ...definitions(
      "ENVIRONMENT",
      (manual.environment ?? []).map((one) => [one.name, variableMeaning(one)] as const),
    ),
    ...definitions(
      "FILES",
      (manual.files ?? []).map((one) => [one.path, one.meaning] as const),
    ),
    ...exampleLines(manual),
    ...(manual.seeAlso === undefined ? [] : [...heading("SEE ALSO"), text(manual.seeAlso.join(", "))]),
  ].join("\n")}\n`;
}

function commandLines(command: CommandManual, { name, dash }: ProgramManual): string[] {
  return [
    `.SS ${quoted(command.name)}`,
    `\\fB${text(name)} ${text(command.name)}\\fR ${text(command.synopsis)}`,
    ".PP",
    sentence(command.summary),
    ...(command.description ?? []).flatMap((paragraph) => [".PP", text(paragraph)]),
    ...(command.arguments ?? []).flatMap(({ name: argument, meaning }) => definition(argument, meaning)),
    ...(command.options ?? []).flatMap((option) => optionLines(option, dash)),
  ];
}

function exampleLines(manual: ProgramManual): string[] {
  const examples = [...manual.examples, ...manual.commands.flatMap((command) => command.examples ?? [])];
  if (examples.length === 0) return [];
  return [
    ...heading("EXAMPLES"),
    ...examples.flatMap(({ command, meaning }, index) => [
      ...(index > 0 ? [".PP"] : []),
      text(meaning),
      ".PP",
      ".RS 4",
      ".nf",
      text(command),
      ".fi",
      ".RE",
    ]),
  ];
}

function optionLines({ name, short, value, meaning }: OptionManual, dash: "-" | "--"): string[] {
  const long = `\\fB${text(`${dash}${name}`)}\\fR${value === undefined ? "" : ` \\fI${text(value)}\\fR`}`;
  const term = short === undefined ? long : `\\fB${text(`-${short}`)}\\fR, ${long}`;
  return [".TP", term, text(meaning)];
}

function definitions(title: string, entries: readonly (readonly [string, string])[]): string[] {
  if (entries.length === 0) return [];
  return [...heading(title), ...entries.flatMap(([term, meaning]) => definition(term, meaning))];
}

function definition(term: string, meaning: string): string[] {
  return [".TP", `\\fB${text(term)}\\fR`, text(meaning)];
}

function paragraphs(texts: readonly string[]): string[] {
  return texts.flatMap((paragraph, index) => [...(index > 0 ? [".PP"] : []), text(paragraph)]);
}

function heading(title: string): string[] {
  return [`.SH ${quoted(title)}`];
}

function sentence(summary: string): string {
  const [first = "", ...rest] = summary;
  return text(`${first.toUpperCase()}${rest.join("")}.`);
}

function quoted(word: string): string {
  return `"${text(word).replaceAll('"', '""')}"`;
}

/** Roff reads a backslash anywhere, and a dot or quote at the beginning of a line, as its own; a minus would be a hyphen. */
function text(plain: string): string {
  return plain
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/, "\\&$1");
}
