/** Puts the man pages and completions of the executables where a prefix such as /usr/local has them. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { completion, manPage } from "../../packages/command-line/src/index.ts";
import { root } from "../workspace.ts";
import { manuals } from "./manuals.ts";

/** Writes `share/` below the folder, anew. */
export function writeManuals(target: string, version: string): void {
  const share = join(target, "share");
  rmSync(share, { recursive: true, force: true });
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(share, path)), { recursive: true });
    writeFileSync(join(share, path), text);
  };
  const date = dateOfSources();
  for (const manual of manuals) {
    const { name, section = 8 } = manual;
    write(`man/man${section}/${name}.${section}`, manPage(manual, { version, date }));
    write(`bash-completion/completions/${name}`, completion(manual, "bash"));
    write(`zsh/site-functions/_${name}`, completion(manual, "zsh"));
    write(`fish/vendor_completions.d/${name}.fish`, completion(manual, "fish"));
  }
}

/** The same sources make the same pages. */
function dateOfSources(): string {
  try {
    return execFileSync("git", ["log", "-1", "--format=%cs"], { cwd: root, encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return new Date().toISOString().slice(0, 10);
  }
}
