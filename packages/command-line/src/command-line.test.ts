import { describe, expect, it } from "vitest";
import { completion, helpText, manPage, nearest, type ProgramManual, shells, unknownWord } from "./index.ts";

const manual: ProgramManual = {
  name: "pod-tool",
  summary: "shows pods",
  synopsis: ["<command> [arguments]"],
  description: [
    "People start it.",
    "It asks every shim of the machine, one after the other, and waits for none longer than two seconds.",
  ],
  dash: "--",
  options: [
    { name: "json", meaning: "as JSON" },
    { name: "internal", meaning: "for tests", hidden: true },
  ],
  commands: [
    { name: "list", synopsis: "", summary: "shows all pods" },
    {
      name: "log",
      synopsis: "POD [--follow]",
      summary: "shows a pod's log",
      description: ["Without --follow it ends at the last line."],
      arguments: [{ name: "POD", meaning: "its id", completes: "pod" }],
      options: [
        { name: "follow", short: "f", meaning: "goes on, as tail -f does" },
        { name: "output", value: "FILE", meaning: "writes it: [there]" },
      ],
      examples: [{ command: "pod-tool log web", meaning: "The log of web:" }],
    },
  ],
  examples: [{ command: "pod-tool list", meaning: "All pods:" }],
  exitCodes: [{ code: 0, meaning: "done" }],
  environment: [{ name: "POD_FOLDER", value: "FOLDER", meaning: "where pods are", standard: "/run/pods" }],
  files: [{ path: "/run/pods", meaning: ".dots at the start of a line, and 'quotes'" }],
  seeAlso: ["ctr(8)"],
};

describe("the help", () => {
  it("shows what a program can do, in columns", () => {
    expect(helpText(manual, undefined, 60)).toBe(`pod-tool: shows pods

Usage:
  pod-tool <command> [arguments]

People start it.

It asks every shim of the machine, one after the other, and
waits for none longer than two seconds.

Commands:
  list  shows all pods
  log   shows a pod's log

Options:
  --json  as JSON

Environment:
  POD_FOLDER  FOLDER: where pods are (default: /run/pods)

Files:
  /run/pods  .dots at the start of a line, and 'quotes'

Exit codes:
  0  done

Examples:
  All pods:
    pod-tool list
`);
  });

  it("shows a command with its own options first", () => {
    expect(helpText(manual, manual.commands[1])).toBe(`pod-tool log: shows a pod's log

Usage:
  pod-tool log POD [--follow]

Without --follow it ends at the last line.

Arguments:
  POD  its id

Options:
  -f, --follow   goes on, as tail -f does
  --output FILE  writes it: [there]
  --json         as JSON

Examples:
  The log of web:
    pod-tool log web
`);
  });
});

describe("the man page", () => {
  const page = manPage(manual, { version: "1.2.3", date: "2026-11-29" });

  it("has the usual sections in the usual order", () => {
    const sections = [...page.matchAll(/^\.SH "(.*)"$/gm)].map((match) => match[1]);
    const expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"];
    expect(sections).toEqual([...expected, "EXAMPLES", "SEE ALSO"]);
    expect(page.split("\n")[0]).toBe('.TH "POD\\-TOOL" "8" "2026-11-29" "uvm\\-shim 1.2.3" "uvm\\-shim"');
  });

  it("has no line that roff would take for a request of its own", () => {
    const requests = page
      .split("\n")
      .filter((line) => /^[.']/.test(line) && !/^\.(TH|SH|SS|TP|PP|RS|RE|nf|fi|br)\b/.test(line));
    expect(requests).toEqual([]);
    expect(page).toContain("\\&.dots at the start");
  });

  it("also has the options that the help leaves out", () => {
    expect(page).toContain("\\fB\\-\\-internal\\fR");
  });
});

describe("completions", () => {
  it.each(shells)("of %s know commands, options and where a pod is wanted", (shell) => {
    const script = completion(manual, shell);
    for (const word of ["list", "log", "follow", "output", "pod-tool list --ids"]) expect(script).toContain(word);
  });

  it("escape what divides zsh's specifications", () => {
    expect(completion(manual, "zsh")).toContain("--output[writes it\\: \\[there\\]]:FILE:_files");
  });
});

describe("a mistyped word", () => {
  it.each([
    ["lsit", "list"],
    ["lo", "log"],
    ["LOGS", "log"],
    ["--folow", undefined],
    ["timeline", undefined],
  ])("%s may mean %s", (word, meant) => expect(nearest(word, ["list", "log"])).toBe(meant));

  it("is not compared if it is far too long", () => {
    const known = Array.from({ length: 100 }, (_, index) => `${"id".repeat(10_000)}${index}`);
    expect(nearest("ls".repeat(10_000), known)).toBeUndefined();
  });

  it("is refused with what was probably meant", () => {
    expect(unknownWord("command", "lits", ["list", "log"])).toBe(
      "unknown command lits: did you mean list? Expected one of list, log",
    );
    expect(unknownWord("command", "zzzzzz", ["list", "log"])).toBe("unknown command zzzzzz: expected one of list, log");
  });
});
