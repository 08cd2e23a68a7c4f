/** apt on the machine's Debian mirror, with lists and caches of its own: the machine's are neither used nor changed. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { machineSource } from "./machine-source.ts";

const DEFAULT_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Options of apt for these releases of Debian. `work` is an empty folder, where archives come to `cache/archives`. */
export function aptOptions(work: string, releases: readonly string[], known: readonly string[] = releases): string[] {
  const source = machineSource(known);
  const keyring = source.signedBy ?? (existsSync(DEFAULT_KEYRING) ? DEFAULT_KEYRING : undefined);
  mkdirSync(join(work, "lists", "partial"), { recursive: true });
  mkdirSync(join(work, "cache", "archives", "partial"), { recursive: true });
  mkdirSync(join(work, "sources"));
  writeFileSync(
    join(work, "sources", "releases.sources"),
    `Types: deb\nURIs: ${source.uri}\nSuites: ${releases.join(" ")}\nComponents: main\n${keyring ? `Signed-By: ${keyring}\n` : ""}`,
  );
  return [
    "Dir::Etc::sourcelist=/dev/null",
    `Dir::Etc::sourceparts=${join(work, "sources")}`,
    `Dir::State::Lists=${join(work, "lists")}`,
    `Dir::Cache=${join(work, "cache")}`,
    "Acquire::Languages=none",
    "APT::Sandbox::User=root",
  ].flatMap((option) => ["-o", option]);
}
