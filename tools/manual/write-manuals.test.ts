/** The pages and completions that are installed, read by the programs that they are for. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { manuals } from "./manuals.ts";
import { writeManuals } from "./write-manuals.ts";

const folder = mkdtempSync(join(tmpdir(), "manuals-"));
const share = join(folder, "share");
beforeAll(() => writeManuals(folder, "1.2.3"));
afterAll(() => rmSync(folder, { recursive: true }));

const names = manuals.map(({ name }) => name);
const pageOf = (name: string): string => {
  const section = manuals.find((manual) => manual.name === name)?.section ?? 8;
  return join(share, `man/man${section}/${name}.${section}`);
};

it("there is a manual for each executable, with everything that a person asks for first", () => {
  expect(names).toEqual(expect.arrayContaining(["containerd-shim-lcow-v2", "containerd-shim-wcow-v2", "hcs-emulator"]));
  for (const { description, examples, exitCodes, options } of manuals) {
    expect(description[0]).toMatch(/start/i);
    expect(examples).not.toEqual([]);
    expect(exitCodes.map(({ code }) => code)).toEqual(expect.arrayContaining([0, 1, 2]));
    expect(options.map(({ name }) => name)).toContain("help");
  }
});

it("manuals name each other by the section that they are in", () => {
  const pages = manuals.map(({ name, section = 8 }) => `${name}(${section})`);
  const own = manuals.flatMap(({ seeAlso = [] }) => seeAlso).filter((page) => names.includes(page.split("(")[0] ?? ""));
  expect(own.length).toBeGreaterThan(names.length);
  expect(own.filter((page) => !pages.includes(page))).toEqual([]);
});

describe.each(names)("the man page of %s", (name) => {
  it("names the version and the date of the sources", () => {
    const [first] = readFileSync(pageOf(name), "utf8").split("\n");
    expect(first).toMatch(/^\.TH ".+" "\d" "\d{4}-\d\d-\d\d" "uvm\\-shim 1\.2\.3" /);
  });

  itWith(`the man page of ${name}: mandoc`, "mandoc")("is in order for mandoc", async () => {
    const { status, stdout } = await runCommand("mandoc", ["-Tlint", "-Wwarning", pageOf(name)]);
    expect({ status, text: stdout.toString() }).toEqual({ status: 0, text: "" });
  });
});

/** What bash offers for the last word, after it has loaded the completions of the program. */
async function offered(words: readonly string[]): Promise<readonly string[]> {
  const script = `. "$0"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    spec=$(complete -p "$1"); function=\${spec#*-F }; "\${function%% *}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const file = join(share, "bash-completion/completions", words[0] ?? "");
  const { status, stdout, stderr } = await runCommand("bash", ["-c", script, file, ...words]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.toString().trim().split("\n");
}

describe("bash", () => {
  itWith("bash: actions", "bash")("offers the actions and the flags of a shim", async () => {
    expect(await offered(["containerd-shim-lcow-v2", "st"])).toEqual(["start"]);
    expect(await offered(["containerd-shim-lcow-v2", ""])).toEqual(["start", "delete", "sandboxer"]);
    expect(await offered(["containerd-shim-lcow-v2", "-na"])).toEqual(["-namespace"]);
  });

  itWith("bash: flags", "bash")("offers the flags of the emulated host", async () => {
    expect(await offered(["hcs-emulator", "--s"])).toEqual(["--socket", "--state"]);
  });
});

describe.each([
  ["zsh", (name: string) => ["-n", join(share, "zsh/site-functions", `_${name}`)]],
  ["fish", (name: string) => ["--no-execute", join(share, "fish/vendor_completions.d", `${name}.fish`)]],
] as const)("%s", (shell, argumentsOf) => {
  itWith(`${shell}: completions`, shell)("finds no mistake in its completions", async () => {
    for (const name of names) {
      expect(await runCommand(shell, argumentsOf(name))).toMatchObject({ status: 0, stderr: "" });
    }
  });
});
