import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkProgram } from "./program.ts";

function elf(machine: number, bigEndian = false): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, bigEndian ? 2 : 1, 1]);
  if (bigEndian) header.writeUInt16BE(machine, 18);
  else header.writeUInt16LE(machine, 18);
  return header;
}

describe("a program that a container is to start with", () => {
  let folder = "";
  let root = "";
  const put = (path: string, content: Buffer | string): void => writeFileSync(join(root, path), content);
  const check = (...args: string[]): void => checkProgram(root, { args, cwd: "/work", env: ["PATH=/bin:/opt"] }, "x64");

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "program-"));
    root = join(folder, "root");
    for (const path of ["bin", "opt", "work"]) mkdirSync(join(root, path), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is accepted for this architecture and for the 32-bit one that the kernel runs too", () => {
    put("bin/own", elf(62));
    put("bin/small", elf(3));
    check("own");
    check("/bin/small");
    expect(() => checkProgram(root, { args: ["own"], cwd: "/", env: ["PATH=/bin"] }, "arm64")).toThrow(
      "/bin/own is built for the architecture x86-64, and this guest runs AArch64",
    );
  });

  it("is refused with its path for another, however it is named", () => {
    put("opt/foreign", elf(183));
    put("work/mainframe", elf(22, true));
    put("bin/odd", elf(4000));
    expect(() => check("foreign")).toThrow("/opt/foreign is built for the architecture AArch64");
    expect(() => check("/opt/foreign")).toThrow("/opt/foreign is built for the architecture AArch64");
    expect(() => check("./mainframe")).toThrow("/work/./mainframe is built for the architecture S390");
    expect(() => check("odd")).toThrow("/bin/odd is built for the architecture ELF machine 4000");
  });

  it("is refused by the interpreter that a script names, through links that stay below the root", () => {
    mkdirSync(join(root, "usr/bin"), { recursive: true });
    put("usr/bin/interpreter", elf(183));
    symlinkSync("/usr/bin/../../../usr/bin/interpreter", join(root, "bin/sh"));
    put("work/run", "#! /bin/sh -e\necho hello\n");
    expect(() => check("/work/run")).toThrow("/bin/sh is built for the architecture AArch64");
  });

  it.each([
    ["#!/bin/none\n", 'exec /bin/program: no such file or directory: it names the interpreter "/bin/none"'],
    ["#! /bin/sh\r\necho\r\n", 'it names the interpreter "/bin/sh\\r"'],
    ["echo no line\n", "exec /bin/program: exec format error"],
    ["", "exec /bin/program: exec format error"],
  ])("is refused where the kernel would not execute it: %j", (content, message) => {
    put("bin/sh", elf(62));
    writeFileSync(join(root, "bin/program"), content, { mode: 0o755 });
    expect(() => check("program")).toThrow(message);
    expect(() => check("program")).toThrow('OciSpecification.process.args[0] is "program", which cannot be executed: ');
    const process = { args: ["program"], cwd: "/", env: ["PATH=/bin"] };
    expect(() => checkProgram(root, process, "x64", [{ destination: "/bin" }]), "on a mount").not.toThrow();
  });

  it("is accepted with an interpreter that is a script, or lies on a mount", () => {
    put("bin/sh", elf(62));
    for (const [name, line] of Object.entries({ first: "#!/bin/sh", second: "#!/bin/first -x", third: "#!/tools/x" })) {
      writeFileSync(join(root, "bin", name), `${line}\n`, { mode: 0o755 });
    }
    check("second");
    expect(() => check("third")).toThrow('the interpreter "/tools/x"');
    expect(() =>
      checkProgram(root, { args: ["/bin/third"], cwd: "/" }, "x64", [{ destination: "/tools/" }]),
    ).not.toThrow();
    symlinkSync("/volume/bin", join(root, "tools"));
    expect(() => check("third")).toThrow('the interpreter "/tools/x"');
    expect(() =>
      checkProgram(root, { args: ["/bin/third"], cwd: "/" }, "x64", [{ destination: "/volume" }]),
    ).not.toThrow();
  });

  it("is refused for a text that is longer than the kernel takes", () => {
    const longest = "x".repeat(131_071);
    check("absent", longest);
    expect(() => check("absent", `${longest}x`)).toThrow(
      "process.args[1] has 131072 bytes, accepted are 131071: argument list too long",
    );
    const process = { args: ["absent"], cwd: "/", env: [`A=${longest}`] };
    expect(() => checkProgram(root, process, "x64")).toThrow("process.env[0] has 131073 bytes");
  });

  it("is left to the runtime where nothing can be told: absent, no program, a loop of links, no arguments", () => {
    put("bin/text", "hello");
    put("bin/empty", "");
    put("work/self", "#!/work/self\n");
    symlinkSync("loop", join(root, "bin/loop"));
    for (const name of ["absent", "text", "empty", "/work/self", "loop", "/bin", ""]) {
      expect(() => check(name), name).not.toThrow();
    }
    expect(() => checkProgram(root, { cwd: "/" }, "x64")).not.toThrow();
    expect(() => checkProgram(root, { args: ["/opt/x"], cwd: "/" }, "s390x")).not.toThrow();
  });
});
