/** What docs/linux.md tells people to write into containerd's configuration. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const document = join(import.meta.dirname, "../../../docs/linux.md");

/** The handlers that it configures. */
export const DOCUMENTED_HANDLER = "uvm-lcow";
export const DOCUMENTED_HANDLER_WITH_OPTIONS = "uvm-lcow-large";

/** Its configurations for a containerd of this major version, each as a whole file. */
export function documentedConfigurations(major: number): readonly string[] {
  const blocks = [...readFileSync(document, "utf8").matchAll(/^```toml\n(.*?)^```$/gms)].map(([, text = ""]) => text);
  const version = `version = ${major >= 2 ? 3 : 2}\n`;
  return blocks.filter((text) => text.startsWith(version));
}

/** The same as tables to add to another configuration of that version. */
export function documentedTables(major: number): readonly string[] {
  return documentedConfigurations(major).map((text) => text.replace(/^version = \d\n/, ""));
}
