/** The path syntax of a host; this package must not use node:path. */
export type PathGrammar = "windows" | "posix";

/** The cleaned path of a file in a folder. */
export function joinPath(grammar: PathGrammar, folder: string, name: string): string {
  return cleanPath(grammar, folder === "" ? name : `${folder}${separatorOf(grammar)}${name}`);
}

/**
 * The shortest form of a path, without looking at the file system: the host's separators, none doubled, no `.`, `..`
 * only at the start of a relative path, and no separator at the end except that of a root.
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

/** On Windows with a drive or a share, elsewhere below the root. */
export function isAbsolute(grammar: PathGrammar, path: string): boolean {
  return grammar === "windows" ? /^([A-Za-z]:[\\/]|\\\\)/.test(path) : path.startsWith("/");
}

function separatorOf(grammar: PathGrammar): string {
  return grammar === "windows" ? "\\" : "/";
}

/** The part that `..` cannot leave: a drive, a share, or the device of a device path. */
function volumeOf(path: string): string {
  const [volume = ""] =
    /^\\\\[?.]\\UNC\\[^\\]+\\[^\\]+/i.exec(path) ??
    /^\\\\[?.]\\[^\\]+/.exec(path) ??
    /^\\\\[^\\]+\\[^\\]+/.exec(path) ??
    /^[A-Za-z]:/.exec(path) ??
    [];
  return volume;
}

/** The last part of a cleaned path. */
export function baseOf(grammar: PathGrammar, path: string): string {
  const cleaned = cleanPath(grammar, path);
  return cleaned.slice(parentOf(grammar, cleaned).length).replace(separatorOf(grammar), "");
}

/** The folder of a path, cleaned; that of a root is the root. */
export function parentOf(grammar: PathGrammar, path: string): string {
  return joinPath(grammar, cleanPath(grammar, path), "..");
}
