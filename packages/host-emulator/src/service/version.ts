/** What `hcs-emulator -v` prints, in the form of the shims. Loaded only when somebody asks. */
import { readFileSync } from "node:fs";

declare const UVM_SHIM_VERSION: string | undefined;
declare const UVM_SHIM_COMMIT: string | undefined;

/** What `hcs-emulator -v` prints. */
export function emulatorVersion(runtime: string): string {
  const { version, revision } = ownVersion();
  return `hcs-emulator:\n  Version:  ${version}\n  Revision: ${revision}\n  Node version: ${runtime}\n\n`;
}

/** A program that was bundled has them in it. The package of npm has its manifest, and knows no commit. */
function ownVersion(): { readonly version: string; readonly revision: string } {
  if (typeof UVM_SHIM_VERSION === "string" && typeof UVM_SHIM_COMMIT === "string") {
    return { version: UVM_SHIM_VERSION, revision: UVM_SHIM_COMMIT };
  }
  const manifest = new URL("../../package.json", import.meta.url);
  return { version: JSON.parse(readFileSync(manifest, "utf8")).version, revision: "unknown" };
}
