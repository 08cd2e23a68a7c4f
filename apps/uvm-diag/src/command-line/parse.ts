import { parseArgs } from "node:util";
import { type CommandManual, type OptionManual, type ProgramManual, unknownWord } from "@uvm-shim/command-line";
import { DiagError, exitCodes } from "../errors.ts";

export type Invocation =
  | { readonly kind: "help"; readonly command: CommandManual | undefined }
  | { readonly kind: "version" }
  | {
      readonly kind: "command";
      readonly command: CommandManual;
      readonly options: Options;
      readonly operands: readonly string[];
    };

/** Options by their names: true for a switch. */
export type Options = { readonly [name: string]: string | true | undefined };

/** Reads a command line by the program's table. Options may stand anywhere before two dashes. */
export function parseCommandLine(words: readonly string[], manual: ProgramManual): Invocation {
  const everyOption = [...manual.options, ...manual.commands.flatMap(({ options = [] }) => options)];
  const { positionals } = read(words, everyOption);
  const asksHelp = positionals[0] === "help";
  const given = positionals[asksHelp ? 1 : 0];
  const command = manual.commands.find(({ name }) => name === given);
  if (command === undefined && given !== undefined) {
    const names = manual.commands.map(({ name }) => name);
    throw usage(unknownWord("command", given, [...names, "help"]));
  }
  const { values, operands } = parse(words, [...(command?.options ?? []), ...manual.options], manual);
  if (asksHelp || values.help !== undefined) return { kind: "help", command };
  if (values.version !== undefined) return { kind: "version" };
  if (command === undefined) return { kind: "help", command };
  return { kind: "command", command, options: values, operands: operands.slice(1) };
}

function read(words: readonly string[], options: readonly OptionManual[]) {
  const known = Object.fromEntries(
    options.map(({ name, short, value }) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const), ...(short && { short }) },
    ]),
  );
  return parseArgs({ args: [...words], options: known, strict: false, allowPositionals: true, tokens: true });
}

function parse(
  words: readonly string[],
  options: readonly OptionManual[],
  { dash }: ProgramManual,
): { readonly values: Options; readonly operands: readonly string[] } {
  const { tokens } = read(words, options);
  const values: { [name: string]: string | true } = {};
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    const option = options.find(({ name }) => name === token.name);
    const written = token.rawName;
    if (option === undefined) {
      const accepted = options.flatMap(({ name, short }) => [
        `${dash}${name}`,
        ...(short === undefined ? [] : [`-${short}`]),
      ]);
      throw usage(unknownWord("option", written, accepted));
    }
    if (option.value === undefined) {
      if (token.value !== undefined) throw usage(`option ${written} takes no value, and has ${token.value}`);
      values[option.name] = true;
    } else {
      if (token.value === undefined || token.value === "")
        throw usage(`option ${written} needs a value: ${option.value}`);
      values[option.name] = token.value;
    }
  }
  return { values, operands };
}

export function usage(message: string): DiagError {
  return new DiagError(exitCodes.usage, message);
}
