/** One command line that the C runtime splits into these arguments again. */
export function commandLineOf(args: readonly string[]): string {
  return args.map(quoted).join(" ");
}

function quoted(argument: string): string {
  if (argument === "") return '""';
  // Backslashes mean themselves, except before a quote.
  const escaped = argument.replace(/(\\*)"/g, '$1$1\\"');
  if (!/[ \t]/.test(argument)) return escaped;
  return `"${escaped.replace(/\\+$/, "$&$&")}"`;
}

/** Whether a program's path names the command interpreter. */
export function isCommandInterpreter(program: string): boolean {
  const name = program
    .trim()
    .replace(/^[A-Za-z]:/, "")
    .replace(/[\\/]+$/, "")
    .split(/[\\/]/)
    .at(-1)
    ?.toLowerCase();
  return name === "cmd" || name === "cmd.exe";
}
