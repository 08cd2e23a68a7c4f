import type { Check, Report } from "./report.ts";
import type { Diagnostic } from "./types.ts";

/** Each error belongs to the package in whose declarations or program it is. */
export function noteDiagnostics(
  report: Report,
  check: Check,
  found: readonly Diagnostic[],
  files: readonly string[],
): void {
  const packageOf = (file: string): string => {
    const own = /^(?:node_modules\/@uvm-shim|types|examples)\/([^/]+?)(?:\.ts|\/)/.exec(file)?.[1];
    return own === undefined ? "(dependencies)" : `@uvm-shim/${own}`;
  };
  for (const { file, text } of found) report.failed(packageOf(file), check, text);
  for (const name of new Set(files.map(packageOf))) {
    if (!found.some(({ file }) => packageOf(file) === name)) report.held(name, check);
  }
}
