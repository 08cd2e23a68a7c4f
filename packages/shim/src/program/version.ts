/** What `-v` prints, in the form of the shims that are made with containerd's library. */
export function versionText(
  program: { readonly name: string; readonly version: string; readonly revision: string },
  runtime: string,
): string {
  return [
    `${program.name}:`,
    `  Version:  ${program.version}`,
    `  Revision: ${program.revision}`,
    `  Node version: ${runtime}`,
    "",
    "",
  ].join("\n");
}
