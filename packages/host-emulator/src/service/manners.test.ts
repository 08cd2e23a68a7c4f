/** What hcs-emulator says to people, and what it refuses. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hostVariables } from "@uvm-shim/host-protocol";
import { expect, it } from "vitest";
import { exitCodes } from "./constants.ts";
import { flagNames } from "./flags.ts";
import { manual } from "./manual.ts";
import { runEmulator } from "./run-emulator.ts";

async function run(argv: readonly string[], env: { readonly [name: string]: string } = {}) {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const code = await runEmulator(argv, env, {
    stdout: { write: (text) => stdout.push(text) },
    stderr: { write: (text) => stderr.push(text) },
  });
  return { code, stdout: stdout.join(""), stderr: stderr.join("") };
}

it.each([["-h"], ["--help"], ["--socket", "x", "--help"]])("has help: %s %s %s", async (...argv) => {
  const { code, stdout, stderr } = await run(argv.filter((word) => word !== undefined));
  expect({ code, stderr }).toEqual({ code: exitCodes.done, stderr: "" });
  expect(stdout).toMatch(/^hcs-emulator: emulated Hyper-V host/);
  for (const word of [...flagNames.map((name) => `--${name}`), ...Object.values(hostVariables)]) {
    expect(stdout).toContain(word);
  }
  expect(manual.exitCodes.map(({ code }) => code)).toEqual(Object.values(exitCodes));
});

it.each(["-v", "--version"])("tells its version: %s", async (flag) => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "..", "..", "package.json"), "utf8"));
  expect(await run([flag])).toEqual({
    ...{ code: exitCodes.done, stderr: "" },
    stdout: `hcs-emulator:\n  Version:  ${version}\n  Revision: unknown\n  Node version: ${process.version}\n\n`,
  });
});

it.each([
  [["--sokcet", "/s"], {}, "unknown flag --sokcet: did you mean --socket? Expected one of --socket, --state, "],
  [["--sokcet=/s"], {}, "unknown flag --sokcet: did you mean --socket?"],
  [["--socket"], {}, "Option '--socket <value>' argument missing"],
  [["--socket", "s"], {}, '--socket: expected an absolute path, got "s"'],
  [["serve"], {}, "Unexpected argument 'serve'"],
  [[], { UVM_SHIM_HOST_IDLE_MS: "5s" }, 'UVM_SHIM_HOST_IDLE_MS: expected milliseconds, got "5s"'],
  [["--freeze", "a", "--thaw", "a"], {}, "--freeze and --thaw: expected only one of them"],
])("refuses %j with %j in one line", async (argv, env, message) => {
  const { code, stdout, stderr } = await run(argv, env);
  expect({ code, stdout }).toEqual({ code: exitCodes.refused, stdout: "" });
  expect(stderr).toContain(`hcs-emulator: ${message}`);
  expect(stderr).toMatch(/^[^\n]+; --help tells more\n$/);
});
