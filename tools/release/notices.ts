import { type Component, foreignComponents, type TargetContents } from "./components.ts";

const rule = "=".repeat(80);

/** THIRD-PARTY-NOTICES: the licence of everything in an archive that others wrote. */
export function noticesOf(contents: TargetContents): string {
  const components = foreignComponents(contents);
  const summary = components.map((component) => `  ${titleOf(component)} (${component.license})`);
  const sections = components.map(
    (component) => `${rule}\n${titleOf(component)}\n${rule}\n\n${component.licenseTexts.join("\n\n")}\n`,
  );
  return [
    "uvm-shim contains software of others, under the licences below. Its own licence is in LICENSE.",
    "",
    ...summary,
    "",
    ...sections,
  ].join("\n");
}

function titleOf({ name, version, partOf }: Component): string {
  return partOf === undefined ? `${name} ${version}` : `${name}, a part of ${partOf}`;
}
