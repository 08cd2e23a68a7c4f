import { NtExecutable, NtExecutableResource, Resource } from "resedit";

const language = { lang: 1033, codepage: 1200 };
const types = { icon: 3, iconGroup: 14, manifest: 24 };
const longPaths =
  '<application xmlns="urn:schemas-microsoft-com:asm.v3"><windowsSettings>' +
  '<longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware>' +
  "</windowsSettings></application>";

/** Gives Node for Windows the version of a program of ours, and a manifest by which paths may be long. */
export function editResources(
  node: Uint8Array,
  program: { readonly name: string; readonly version: string; readonly description: string },
): Uint8Array {
  const executable = NtExecutable.from(node, { ignoreCert: true });
  const resources = NtExecutableResource.from(executable);
  const { icon, iconGroup } = types;
  resources.entries = resources.entries.filter(({ type }) => type !== icon && type !== iconGroup);
  const manifest = resources.entries.find(({ type }) => type === types.manifest);
  const text = manifest === undefined ? "" : Buffer.from(manifest.bin).toString("utf8");
  if (manifest === undefined || !text.includes("</assembly>"))
    throw new Error("Node for Windows has no manifest to add to");
  manifest.bin = Uint8Array.from(Buffer.from(text.replace("</assembly>", `${longPaths}</assembly>`))).buffer;

  const version = Resource.VersionInfo.fromEntries(resources.entries)[0];
  if (version === undefined) throw new Error("Node for Windows has no version to replace");
  const [major = 0, minor = 0, patch = 0] = program.version.split(/[.-]/).map(Number);
  version.setFileVersion(major, minor, patch, 0, language.lang);
  version.setProductVersion(major, minor, patch, 0, language.lang);
  version.setStringValues(language, {
    CompanyName: "uvm-shim",
    ProductName: "uvm-shim",
    FileDescription: program.description,
    FileVersion: program.version,
    ProductVersion: program.version,
    OriginalFilename: `${program.name}.exe`,
    InternalName: program.name,
    LegalCopyright: "MIT license",
  });
  version.outputToResourceEntries(resources.entries);
  resources.outputResource(executable);
  return new Uint8Array(executable.generate());
}
