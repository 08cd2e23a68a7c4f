import { Refusal } from "./refusal.ts";

/** A path of this machine's files as programs under Wine have it: on drive Z:, or as Wine itself calls it. */
const onDrive = /^(?:\\\\\?\\)?[zZ]:(?=[\\/])/;
const ofWine = /^\\\\\?\\unix(?=\\)/;

export function isWindowsPath(text: string): boolean {
  return onDrive.test(text) || ofWine.test(text);
}

/** The path here. */
export function localPath(path: string | undefined): string {
  if (path === undefined || !isWindowsPath(path)) {
    throw new Refusal("E_INVALIDARG", `expected a path on drive Z:, got ${JSON.stringify(path)}`);
  }
  return path.replace(onDrive, "").replace(ofWine, "").replaceAll("\\", "/");
}

/** A document with all its paths as they are here. */
export function localDocument(text: string | undefined): unknown {
  return JSON.parse(text ?? "{}", (_key, value: unknown) =>
    typeof value === "string" && isWindowsPath(value) ? localPath(value) : value,
  );
}
