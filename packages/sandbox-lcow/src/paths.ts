/** How a host writes paths; node:path would do it, but the builder does without Node. */
export type PathGrammar = "windows" | "posix";

export function joinPath(grammar: PathGrammar, folder: string, name: string): string {
  const separator = grammar === "windows" ? "\\" : "/";
  const tidy = tidyFolder(grammar, folder);
  return tidy.endsWith(separator) ? `${tidy}${name}` : `${tidy}${separator}${name}`;
}

/** A folder's path with the host's own separators, and none at the end unless it is a root. */
export function tidyFolder(grammar: PathGrammar, path: string): string {
  if (grammar === "posix") return path.replace(/(?<=[^/])\/+$/, "");
  return path.replaceAll("/", "\\").replace(/(?<=[^:\\])\\+$/, "");
}

/** Below a drive or on a share on Windows, below the root elsewhere. */
export function isAbsolute(grammar: PathGrammar, path: string): boolean {
  return grammar === "windows" ? /^([A-Za-z]:[\\/]|\\\\)/.test(path) : path.startsWith("/");
}
