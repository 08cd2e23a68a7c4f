import { parseArgs } from "node:util";
import { unknownWord } from "@uvm-shim/command-line";
import { hostSocketOption } from "@uvm-shim/host-protocol";
import { messageOf } from "@uvm-shim/lifecycle";

/** What is wrong with a command line, for whoever wrote it. */
export class UsageError extends Error {}

/** The options of the program, without dashes. */
export const flagNames = [hostSocketOption, "state", "devices", "freeze", "thaw"] as const;
type FlagName = (typeof flagNames)[number];

/** Whether help is asked for, among whatever else. */
export function isHelp(argv: readonly string[]): boolean {
  return argv.includes("-h") || argv.includes("--help");
}

/** Whether the version is asked for. */
export function isVersion(argv: readonly string[]): boolean {
  return argv.includes("-v") || argv.includes("--version");
}

/** Throws a UsageError. */
export function parseFlags(argv: readonly string[]): { readonly [Name in FlagName]?: string } {
  const options = Object.fromEntries(flagNames.map((name) => [name, { type: "string" as const }]));
  try {
    return parseArgs({ args: [...argv], options, strict: true }).values as { readonly [Name in FlagName]?: string };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const word = argv.find((argument) => argument.startsWith("-") && !isKnown(argument));
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" && word !== undefined) {
      const [name = ""] = word.split("=");
      const accepted = [...flagNames, "version", "help"].map((known) => `--${known}`);
      throw new UsageError(unknownWord("flag", name, accepted), { cause: error });
    }
    throw new UsageError(messageOf(error), { cause: error });
  }
}

function isKnown(argument: string): boolean {
  return flagNames.some((name) => argument === `--${name}` || argument.startsWith(`--${name}=`));
}
