import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { launcher } from "./assemble.ts";
import { describeWith } from "./machine-needs.ts";

const NAME = "containerd-shim-x-v2";

describeWith("Linux")("the launcher", () => {
  let directory: string;
  const put = (path: string, text: string): void => {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), text);
    chmodSync(join(directory, path), 0o755);
  };
  const run = (path: string) =>
    spawnSync(join(directory, path), ["-v"], {
      encoding: "utf8",
      env: { PATH: `${join(directory, "path")}:/usr/bin:/bin` },
    });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "launcher-"));
    put(`installed/${NAME}`, launcher(NAME, "x"));
    put("installed/lib/node", '#!/bin/sh\necho "$0" "$@"\n');
    put(`alone/${NAME}`, launcher(NAME, "x"));
    mkdirSync(join(directory, "path"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("finds the installed runtime by name when it was copied alone", () => {
    symlinkSync(join(directory, "installed", NAME), join(directory, "path", NAME));
    const lib = join(directory, "installed", "lib");
    expect(run(`alone/${NAME}`)).toMatchObject({ status: 0, stdout: `${lib}/node ${lib}/x.cjs -v\n` });
  });

  it("says what is missing when no runtime is beside it or in PATH", () => {
    expect(run(`alone/${NAME}`)).toMatchObject({
      status: 127,
      stderr: `${join(directory, "alone", NAME)}: no lib/node beside it, nor beside a ${NAME} in PATH: install the whole folder\n`,
    });
  });

  it("takes what is beside it first", () => {
    symlinkSync(join(directory, "alone", NAME), join(directory, "path", NAME));
    expect(run(`installed/${NAME}`).stdout).toContain(join(directory, "installed", "lib", "x.cjs"));
  });
});
