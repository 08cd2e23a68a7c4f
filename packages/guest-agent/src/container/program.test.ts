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

/** A dynamic program: a loaded segment, then the name of its loader. */
function dynamic(loader: string, bits: 32 | 64): Buffer {
  const file = Buffer.alloc(4096);
  elf(bits === 64 ? 62 : 3).copy(file);
  file[4] = bits === 64 ? 2 : 1;
  const name = `${loader}\0`;
  const [table, at] = [512, 3000];
  file.write(name, at, "latin1");
  if (bits === 64) {
    file.writeBigUInt64LE(BigInt(table), 32);
    file.writeUInt16LE(56, 54);
    file.writeUInt16LE(2, 56);
    file.writeUInt32LE(1, table);
    file.writeUInt32LE(3, table + 56);
    file.writeBigUInt64LE(BigInt(at), table + 56 + 8);
    file.writeBigUInt64LE(BigInt(name.length), table + 56 + 32);
  } else {
    file.writeUInt32LE(table, 28);
    file.writeUInt16LE(32, 42);
    file.writeUInt16LE(2, 44);
    file.writeUInt32LE(1, table);
    file.writeUInt32LE(3, table + 32);
    file.writeUInt32LE(at, table + 32 + 4);
    file.writeUInt32LE(name.length, table + 32 + 16);
  }
  return file;
}

describe("a container's program", () => {
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

  it("is accepted for the guest's architecture and its 32-bit variant", () => {
    put("bin/own", elf(62));
    put("bin/small", elf(3));
    check("own");
    check("/bin/small");
    expect(() => checkProgram(root, { args: ["own"], cwd: "/", env: ["PATH=/bin"] }, "arm64")).toThrow(
      "/bin/own was built for x86-64, the architecture of this guest is AArch64",
    );
  });

  it("is refused for another architecture, with its path", () => {
    put("opt/foreign", elf(183));
    put("work/mainframe", elf(22, true));
    put("bin/odd", elf(4000));
    expect(() => check("foreign")).toThrow("/opt/foreign was built for AArch64");
    expect(() => check("/opt/foreign")).toThrow("/opt/foreign was built for AArch64");
    expect(() => check("./mainframe")).toThrow("/work/./mainframe was built for S390");
    expect(() => check("odd")).toThrow("/bin/odd was built for ELF machine 4000");
  });

  it("is refused if a script's interpreter is for another architecture, through links below the root", () => {
    mkdirSync(join(root, "usr/bin"), { recursive: true });
    put("usr/bin/interpreter", elf(183));
    symlinkSync("/usr/bin/../../../usr/bin/interpreter", join(root, "bin/sh"));
    put("work/run", "#! /bin/sh -e\necho hello\n");
    expect(() => check("/work/run")).toThrow("/bin/sh was built for AArch64");
  });

  it.each([
    ["#!/bin/none\n", 'exec /bin/program: no such file or directory: its interpreter "/bin/none" does not exist'],
    ["#! /bin/sh\r\necho\r\n", 'its interpreter "/bin/sh\\r" does not exist'],
    ["echo no line\n", "exec /bin/program: exec format error"],
    ["", "exec /bin/program: exec format error"],
  ])("is refused if the kernel would not execute it: %j", (content, message) => {
    put("bin/sh", elf(62));
    writeFileSync(join(root, "bin/program"), content, { mode: 0o755 });
    expect(() => check("program")).toThrow(message);
    expect(() => check("program")).toThrow('OciSpecification.process.args[0]: cannot execute "program": ');
    const process = { args: ["program"], cwd: "/", env: ["PATH=/bin"] };
    expect(() => checkProgram(root, process, "x64", [{ destination: "/bin" }]), "on a mount").not.toThrow();
  });

  it("is checked quickly against mounts with very long names", () => {
    const destination = `${"/".repeat(1_000_000)}x`;
    const process = { args: ["/bin/own"], cwd: "/" };
    expect(() => checkProgram(root, process, "x64", [{ destination }])).not.toThrow();
  });

  it("is accepted if its interpreter is a script or on a mount", () => {
    put("bin/sh", elf(62));
    for (const [name, line] of Object.entries({ first: "#!/bin/sh", second: "#!/bin/first -x", third: "#!/tools/x" })) {
      writeFileSync(join(root, "bin", name), `${line}\n`, { mode: 0o755 });
    }
    check("second");
    expect(() => check("third")).toThrow('its interpreter "/tools/x"');
    expect(() =>
      checkProgram(root, { args: ["/bin/third"], cwd: "/" }, "x64", [{ destination: "/tools/" }]),
    ).not.toThrow();
    symlinkSync("/volume/bin", join(root, "tools"));
    expect(() => check("third")).toThrow('its interpreter "/tools/x"');
    expect(() =>
      checkProgram(root, { args: ["/bin/third"], cwd: "/" }, "x64", [{ destination: "/volume" }]),
    ).not.toThrow();
  });

  it.each([32, 64] as const)("of %i bits needs its loader", (bits) => {
    const loader = "/lib64/ld.so.2";
    writeFileSync(join(root, "bin/program"), dynamic(loader, bits), { mode: 0o755 });
    expect(() => check("program")).toThrow(
      `process.args[0]: cannot execute "program": exec /bin/program: no such file or directory: its interpreter "${loader}" does not exist`,
    );
    writeFileSync(join(root, "opt/script"), "#!/bin/program\n", { mode: 0o755 });
    expect(() => check("script")).toThrow(`exec /bin/program: no such file or directory`);
    const process = { args: ["program"], cwd: "/", env: ["PATH=/bin"] };
    expect(() => checkProgram(root, process, "x64", [{ destination: "/lib64" }]), "on a mount").not.toThrow();
    mkdirSync(join(root, "usr/lib64"), { recursive: true });
    symlinkSync("usr/lib64", join(root, "lib64"));
    expect(() => check("program")).toThrow("no such file or directory");
    put("usr/lib64/ld.so.2", elf(62));
    check("program");
    put("usr/lib64/ld.so.2", elf(183));
    expect(() => check("program")).toThrow(`${loader} was built for AArch64`);
  });

  it("needs a loader with a relative name in its working directory", () => {
    writeFileSync(join(root, "bin/program"), dynamic("ld.so", 64), { mode: 0o755 });
    expect(() => check("program")).toThrow('its interpreter "ld.so"');
    put("work/ld.so", elf(62));
    check("program");
  });

  it("is left to the kernel if its headers are cut short or invalid", () => {
    const whole = dynamic("/none", 64);
    const odd: Buffer[] = [whole.subarray(0, 40), whole.subarray(0, 600), whole.subarray(0, 3000)];
    for (const [at, value] of [
      [54, 57],
      [56, 0],
      [56, 2000],
      [39, 0xff],
      [512 + 56 + 15, 0x7f],
      [512 + 56 + 32, 1],
      [512 + 56 + 34, 1],
      [3000, 0],
    ] as const) {
      const changed = Buffer.from(whole);
      if (at === 56) changed.writeUInt16LE(value, at);
      else changed[at] = value;
      odd.push(changed);
    }
    for (const [index, content] of odd.entries()) {
      writeFileSync(join(root, "bin/program"), content, { mode: 0o755 });
      expect(() => check("program"), `${index}`).not.toThrow();
    }
  });

  it("is refused with an argument or variable longer than the kernel accepts", () => {
    const longest = "x".repeat(131_071);
    check("absent", longest);
    expect(() => check("absent", `${longest}x`)).toThrow(
      "process.args[1] has 131072 bytes, expected at most 131071: argument list too long",
    );
    const process = { args: ["absent"], cwd: "/", env: [`A=${longest}`] };
    expect(() => checkProgram(root, process, "x64")).toThrow("process.env[0] has 131073 bytes");
  });

  it("is checked quickly with thousands of PATH folders, and links that lead to and fro", {
    timeout: 5000,
  }, () => {
    const links = Array.from({ length: 30 }, (_, index) => `work/to-and-fro${index}`);
    for (const [index, link] of links.entries()) {
      symlinkSync(`${"bin/../".repeat(500)}to-and-fro${index + 1}`, join(root, link));
    }
    mkdirSync(join(root, "work/bin"));
    put("work/script", "#!/work/to-and-fro0\n");
    const path = `PATH=${Array.from({ length: 20_000 }, (_, index) => `/${index}`).join(":")}`;
    for (let count = 0; count < 10; count++) {
      for (const name of ["absent", "/work/script"]) {
        expect(() => checkProgram(root, { args: [name], cwd: "/", env: [path] }, "x64")).not.toThrow();
      }
    }
  });

  it("is left to the runtime if it is absent, no program, a loop of links, or without arguments", () => {
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
