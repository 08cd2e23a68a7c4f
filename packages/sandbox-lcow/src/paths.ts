/** How a host writes paths; node:path would do it, but the builder does without Node. */
export type PathGrammar = "windows" | "posix";

export function joinPath(grammar: PathGrammar, folder: string, name: string): string {
  if (grammar === "windows") return `${folder.replace(/[\\/]+$/, "")}\\${name}`;
  return `${folder.replace(/\/+$/, "")}/${name}`;
}

/** Below a drive or on a share on Windows, below the root elsewhere. */
export function isAbsolute(grammar: PathGrammar, path: string): boolean {
  return grammar === "windows" ? /^([A-Za-z]:[\\/]|\\\\)/.test(path) : path.startsWith("/");
}
