/** How a host writes paths; node:path would do it, but the builder does without Node. */
export type PathGrammar = "windows" | "posix";

/** The path of a file in a folder, cleaned. */
export function joinPath(grammar: PathGrammar, folder: string, name: string): string {
  return cleanPath(grammar, folder === "" ? name : `${folder}${separatorOf(grammar)}${name}`);
}

/**
 * The shortest way to write a path, found without looking at the file system: the host's own separators, one at a time,
 * neither `.` nor `..` but at the beginning of a relative path, and no separator at the end but that of a root.
 */
export function cleanPath(grammar: PathGrammar, path: string): string {
  const separator = separatorOf(grammar);
  const written = grammar === "windows" ? path.replaceAll("/", "\\") : path;
  const volume = grammar === "windows" ? volumeOf(written) : "";
  const rest = written.slice(volume.length);
  const isRooted = rest.startsWith(separator);
  const parts: string[] = [];
  for (const part of rest.split(separator)) {
    if (part === "" || part === ".") continue;
    const canGoUp = parts.length > 0 && parts.at(-1) !== "..";
    if (part !== ".." || (!canGoUp && !isRooted)) parts.push(part);
    else if (canGoUp) parts.pop();
  }
  const cleaned = `${volume}${isRooted ? separator : ""}${parts.join(separator)}`;
  return cleaned === "" ? "." : cleaned;
}

/** Below a drive or on a share on Windows, below the root elsewhere. */
export function isAbsolute(grammar: PathGrammar, path: string): boolean {
  return grammar === "windows" ? /^([A-Za-z]:[\\/]|\\\\)/.test(path) : path.startsWith("/");
}

function separatorOf(grammar: PathGrammar): string {
  return grammar === "windows" ? "\\" : "/";
}

/** What `..` cannot leave: a drive, a share, or what stands after the prefix of a device path. */
function volumeOf(path: string): string {
  const [volume = ""] =
    /^\\\\[?.]\\UNC\\[^\\]+\\[^\\]+/i.exec(path) ??
    /^\\\\[?.]\\[^\\]+/.exec(path) ??
    /^\\\\[^\\]+\\[^\\]+/.exec(path) ??
    /^[A-Za-z]:/.exec(path) ??
    [];
  return volume;
}
