import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it } from "vitest";
import { sourceCommit } from "./commit.ts";

describe("the commit that programs tell", () => {
  const folder = mkdtempSync(join(tmpdir(), "commit-"));
  const git = (...args: string[]): string =>
    spawnSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: folder, encoding: "utf8" }).stdout;

  it("is unknown outside of a repository", () => {
    expect(sourceCommit({}, folder)).toBe("unknown");
  });

  itWith("the commit of a repository", "git")("is that of the repository, marked where files differ from it", () => {
    git("init", "--quiet");
    git("commit", "--quiet", "--allow-empty", "--message=first");
    const commit = git("rev-parse", "HEAD").trim();
    expect(commit).toMatch(/^[0-9a-f]{40}$/);
    expect(sourceCommit({}, folder)).toBe(commit);
    writeFileSync(join(folder, "file"), "");
    expect(sourceCommit({}, folder)).toBe(`${commit}.m`);
  });

  it("is what the variable says", () => {
    expect(sourceCommit({ UVM_SHIM_COMMIT: "told" }, folder)).toBe("told");
  });
});
