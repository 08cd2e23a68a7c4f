import type { CommandManual, OptionManual, ProgramManual, VariableManual } from "./manual.ts";

const usualWidth = 100;
const indent = "  ";

/** The answer to `--help`: of the program, or of one of its commands. */
export function helpText(manual: ProgramManual, command?: CommandManual, width = usualWidth): string {
  return `${(command === undefined ? programHelp(manual, width) : commandHelp(manual, command, width)).join("\n")}\n`;
}

function programHelp(manual: ProgramManual, width: number): string[] {
  const { name, summary, synopsis, description, commands, options, examples, exitCodes, dash } = manual;
  const pairs = (entries: readonly (readonly [string, string])[]): string[] => columns(entries, width);
  return [
    `${name}: ${summary}`,
    "",
    "Usage:",
    ...synopsis.map((line) => `${indent}${name} ${line}`),
    ...description.flatMap((paragraph) => ["", ...wrap(paragraph, width)]),
    ...section("Commands", pairs(commands.map((one) => [one.name, one.summary] as const))),
    ...section("Options", pairs(options.filter(isShown).map((option) => optionPair(option, dash)))),
    ...section(
      "Environment",
      pairs((manual.environment ?? []).map((one) => [one.name, variableMeaning(one)] as const)),
    ),
    ...section("Files", pairs((manual.files ?? []).map((one) => [one.path, one.meaning] as const))),
    ...section("Exit codes", pairs(exitCodes.map(({ code, meaning }) => [`${code}`, meaning] as const))),
    ...section("Examples", exampleLines(examples, width)),
  ];
}

function commandHelp(manual: ProgramManual, command: CommandManual, width: number): string[] {
  const options = [...(command.options ?? []), ...manual.options].filter(isShown);
  const named = (command.arguments ?? []).map((one) => [one.name, one.meaning] as const);
  return [
    `${manual.name} ${command.name}: ${command.summary}`,
    "",
    "Usage:",
    `${indent}${manual.name} ${command.name} ${command.synopsis}`.trimEnd(),
    ...(command.description ?? []).flatMap((paragraph) => ["", ...wrap(paragraph, width)]),
    ...section("Arguments", columns(named, width)),
    ...section(
      "Options",
      columns(
        options.map((option) => optionPair(option, manual.dash)),
        width,
      ),
    ),
    ...section("Examples", exampleLines(command.examples ?? [], width)),
  ];
}

function isShown(option: OptionManual): boolean {
  return option.hidden !== true;
}

function optionPair({ name, short, value, meaning }: OptionManual, dash: "-" | "--"): readonly [string, string] {
  const long = `${dash}${name}${value === undefined ? "" : ` ${value}`}`;
  return [short === undefined ? long : `-${short}, ${long}`, meaning];
}

/** A variable's meaning as help and man page say it: after its placeholder, before its default. */
export function variableMeaning({ value, meaning, standard }: VariableManual): string {
  const given = value === undefined ? meaning : `${value}: ${meaning}`;
  return standard === undefined ? given : `${given} (default: ${standard})`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", `${title}:`, ...lines];
}

function exampleLines(examples: ProgramManual["examples"], width: number): string[] {
  return examples.flatMap(({ command, meaning }) => [
    ...wrap(meaning, width - indent.length).map((line) => indent + line),
    `${indent}${indent}${command}`,
  ]);
}

/** Two columns; a left text that is too wide has a line of its own. */
function columns(entries: readonly (readonly [string, string])[], width: number): string[] {
  const widest = 28;
  const left = Math.min(widest, Math.max(0, ...entries.map(([term]) => term.length)));
  return entries.flatMap(([term, meaning]) => {
    const lines = wrap(meaning, width - left - 2 * indent.length);
    const start = indent.length + left + indent.length;
    const beside = term.length <= left;
    const first = beside ? [`${indent}${term.padEnd(left)}${indent}${lines[0] ?? ""}`.trimEnd()] : [`${indent}${term}`];
    return [...first, ...lines.slice(beside ? 1 : 0).map((line) => " ".repeat(start) + line)];
  });
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
