import type { CommandManual, OptionManual, ProgramManual } from "./manual.ts";

/** The shells that completions are made for; also what a program accepts as the name of one. */
export const shells = ["bash", "zsh", "fish"] as const;
/** One of `shells`. */
export type Shell = (typeof shells)[number];

/** A shell's script that completes the program's commands, options and arguments. */
export function completion(manual: ProgramManual, shell: Shell): string {
  switch (shell) {
    case "bash":
      return bash(manual);
    case "zsh":
      return zsh(manual);
    case "fish":
      return fish(manual);
  }
}

/** What prints the ids that a program accepts for a pod. */
const listOfPods = (name: string): string => `${name} list --ids 2>/dev/null`;

function functionName(name: string): string {
  return `_${name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;
}

function written(option: OptionManual, dash: "-" | "--"): string[] {
  return [`${dash}${option.name}`, ...(option.short === undefined ? [] : [`-${option.short}`])];
}

function optionsOf(manual: ProgramManual, command: CommandManual | undefined): readonly OptionManual[] {
  return [...(command?.options ?? []), ...manual.options];
}

function takesFile(option: OptionManual): boolean {
  return /FILE|FOLDER|SOCKET|PATH/.test(option.value ?? "");
}

function bash(manual: ProgramManual): string {
  const { name, commands, dash } = manual;
  const words = (command?: CommandManual): string =>
    optionsOf(manual, command)
      .flatMap((option) => written(option, dash))
      .join(" ");
  const files = [manual, ...commands].flatMap(({ options = [] }) => options.filter(takesFile));
  const cases = commands.map((command) => {
    const kind = command.arguments?.find(({ completes }) => completes !== undefined)?.completes;
    const pods = kind === "pod" ? ` arguments=$(${listOfPods(name)})` : "";
    return `    ${command.name}) options="${words(command)}"${pods} ;;`;
  });
  const asked = [...new Set(files.flatMap((option) => written(option, dash)))];
  return [
    `${functionName(name)}() {`,
    `  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="" options arguments="" each`,
    `  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    '    case "$each" in -*) ;; *) command="$each"; break ;; esac',
    "  done",
    `  options="${words()}"`,
    `  [ -n "$command" ] || arguments="${commands.map((command) => command.name).join(" ")}"`,
    ...(asked.length === 0
      ? []
      : [`  case "$before" in ${asked.join("|")}) COMPREPLY=($(compgen -f -- "$word")); return ;; esac`]),
    ...(cases.length === 0 ? [] : ['  case "$command" in', ...cases, "  esac"]),
    '  case "$word" in',
    '    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;',
    '    *) COMPREPLY=($(compgen -W "$arguments" -- "$word")) ;;',
    "  esac",
    "}",
    `complete -o default -F ${functionName(name)} ${name}`,
    "",
  ].join("\n");
}

function zsh(manual: ProgramManual): string {
  const { name, commands, dash } = manual;
  const specification = (option: OptionManual): string[] =>
    written(option, dash).map((word) => {
      const value = option.value === undefined ? "" : `:${option.value}:${takesFile(option) ? "_files" : ""}`;
      return quoted(`${word}[${inBrackets(option.meaning)}]${value}`);
    });
  const own = manual.options.flatMap(specification);
  if (commands.length === 0) return [`#compdef ${name}`, `_arguments ${own.join(" ")}`, ""].join("\n");
  const cases = commands.map((command) => {
    const positions = (command.arguments ?? []).map(({ name: argument, completes }) => {
      const action =
        completes === "pod" ? `(\${(f)"$(${listOfPods(name)})"})` : completes === undefined ? "" : "_files";
      return quoted(`:${argument}:${action}`);
    });
    return `    ${command.name}) _arguments ${[...own, ...(command.options ?? []).flatMap(specification), ...positions].join(" ")} ;;`;
  });
  const described = commands.map((command) => quoted(`${command.name}:${command.summary}`));
  return [
    `#compdef ${name}`,
    `_arguments -C ${own.join(" ")} '1:command:->command' '*::argument:->argument'`,
    'case "$state" in',
    `  command) local -a commands=(${described.join(" ")}); _describe command commands ;;`,
    '  argument) case "$words[1]" in',
    ...cases,
    "  esac ;;",
    "esac",
    "",
  ].join("\n");
}

function fish(manual: ProgramManual): string {
  const { name, commands, dash } = manual;
  const line = (option: OptionManual, command?: CommandManual): string =>
    [
      `complete -c ${name}`,
      ...(command === undefined ? [] : [`-n '__fish_seen_subcommand_from ${command.name}'`]),
      dash === "--" ? `-l ${option.name}` : `-o ${option.name}`,
      ...(option.short === undefined ? [] : [`-s ${option.short}`]),
      ...(option.value === undefined ? [] : [takesFile(option) ? "-r -F" : "-x"]),
      `-d ${quoted(option.meaning)}`,
    ].join(" ");
  return [
    ...(commands.length === 0 ? [] : [`complete -c ${name} -f`]),
    ...commands.map((one) => `complete -c ${name} -n __fish_use_subcommand -a ${one.name} -d ${quoted(one.summary)}`),
    ...commands
      .filter((one) => one.arguments?.some(({ completes }) => completes === "pod") === true)
      .map((one) => `complete -c ${name} -n '__fish_seen_subcommand_from ${one.name}' -a '(${listOfPods(name)})'`),
    ...manual.options.map((option) => line(option)),
    ...commands.flatMap((command) => (command.options ?? []).map((option) => line(option, command))),
    "",
  ].join("\n");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Brackets and colons divide zsh's specifications. */
function inBrackets(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, "\\$&");
}
