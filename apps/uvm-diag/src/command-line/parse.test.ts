import { describe, expect, it } from "vitest";
import { DiagError } from "../errors.ts";
import { manual } from "../manual.ts";
import { commands } from "../run.ts";
import { parseCommandLine } from "./parse.ts";

function parsed(...words: string[]) {
  const invocation = parseCommandLine(words, manual);
  if (invocation.kind !== "command")
    return invocation.kind === "help" ? { help: invocation.command?.name } : { kind: invocation.kind };
  const { command, options, operands } = invocation;
  return { command: command.name, options: { ...options }, operands };
}

function refusal(...words: string[]): string {
  try {
    parseCommandLine(words, manual);
  } catch (error) {
    if (error instanceof DiagError && error.exitCode === 2) return error.message;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("a command line", () => {
  it("has a command, options in any place, and operands", () => {
    expect(parsed("logs", "--follow", "web", "--activity", "0a1b")).toEqual({
      command: "logs",
      options: { follow: true, activity: "0a1b" },
      operands: ["web"],
    });
    expect(parsed("--socket=/run/x", "pid")).toEqual({ command: "pid", options: { socket: "/run/x" }, operands: [] });
    expect(parsed("--socket", "/run/x", "--timeout", "2", "pid")).toMatchObject({ command: "pid", operands: [] });
  });

  it("leaves everything after two dashes to the program in the VM", () => {
    expect(parsed("exec", "-it", "web", "--", "ls", "-la", "--help")).toEqual({
      command: "exec",
      options: { interactive: true, tty: true },
      operands: ["web", "ls", "-la", "--help"],
    });
  });

  it.each([
    [["--help"], undefined],
    [["help"], undefined],
    [[], undefined],
    [["exec", "--help"], "exec"],
    [["help", "exec"], "exec"],
    [["exec", "web", "-h"], "exec"],
  ])("%j asks for help", (words, command) => expect(parsed(...words)).toEqual({ help: command }));

  it("asks for the version", () => {
    expect(parsed("-v")).toEqual({ kind: "version" });
    expect(parsed("list", "--version")).toEqual({ kind: "version" });
  });

  it.each([
    [["lits"], "unknown command lits: did you mean list? Expected one of"],
    [["stacks", "web", "--jsno"], "unknown option --jsno: did you mean --json? Expected one of"],
    [["list", "--json=yes"], "option --json takes no value, and has yes"],
    [["timeline", "web", "--html"], "option --html needs a value: FILE"],
    [["exec", "web", "ls", "-l"], "unknown option -l: "],
    [["help", "exce"], "unknown command exce: did you mean exec?"],
  ])("%j is refused", (words, message) => expect(refusal(...words)).toContain(message));
});

describe("the manual", () => {
  it("has the commands that there are", () => {
    expect(manual.commands.map(({ name }) => name).toSorted()).toEqual(Object.keys(commands).toSorted());
  });

  it("gives an option one meaning of value in all commands, since they are read before the command is known", () => {
    const values = new Map<string, string | undefined>();
    for (const { name, value } of manual.commands.flatMap(({ options = [] }) => options)) {
      if (values.has(name)) expect(value, name).toBe(values.get(name));
      values.set(name, value);
    }
  });
});
