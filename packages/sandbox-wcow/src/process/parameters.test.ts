import { SandboxError } from "@uvm-shim/sandbox-common";
import { describe, expect, it } from "vitest";
import { commandLineOf } from "./command-line.ts";
import { type ProcessRequest, processParameters, type WindowsProcess } from "./parameters.ts";

function asked(process: WindowsProcess, annotations: ProcessRequest["annotations"] = {}) {
  return processParameters({ process, annotations, streams: { stdin: false, stdout: false, stderr: false } });
}

const hostProcess = { "microsoft.com/hostprocess-container": "true" };

describe("a command line", () => {
  it.each([
    { args: [""], line: '""' },
    { args: ["a\\b"], line: "a\\b" },
    { args: ["a b\\"], line: '"a b\\\\"' },
    { args: ['a\\"b'], line: 'a\\\\\\"b' },
    { args: ['a "b"'], line: '"a \\"b\\""' },
    { args: ["a\tb", "c"], line: '"a\tb" c' },
  ])("of $args is $line", ({ args, line }) => {
    expect(commandLineOf(args)).toBe(line);
  });
});

describe("a host process container", () => {
  it.each([
    { args: ["C:\\Windows\\System32\\CMD.EXE", "/c"], line: "C:\\Windows\\System32\\CMD.EXE /c" },
    { args: ["powershell"], line: "cmd /c powershell" },
  ])("runs $args as $line", ({ args, line }) => {
    expect(asked({ args }, hostProcess)).toEqual({ CommandLine: line });
  });

  it("runs a command line by the command interpreter", () => {
    expect(asked({ commandLine: "dir /s" }, hostProcess)).toEqual({ CommandLine: "cmd /c dir /s" });
  });

  it("inherits the user that the guest's service has", () => {
    const annotations = { ...hostProcess, "microsoft.com/hostprocess-inherit-user": "true" };
    expect(asked({ user: { username: "u" } }, annotations)).toEqual({ User: "NT AUTHORITY\\SYSTEM" });
  });
});

describe("a console size", () => {
  it.each([-1, 1.5, 65536])("refuses the height %s", (height) => {
    expect(() => asked({ consoleSize: { height, width: 1 } })).toThrow(
      new SandboxError(
        "InvalidArgument",
        "process.consoleSize.height",
        `${String(height)} is not a whole number from 0 to 65535`,
      ),
    );
  });
});
