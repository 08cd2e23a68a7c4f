/** Path rules of a host's file system. They never access files. */
export interface HostPaths {
  /** Describes an absolute path, to follow "expected" in messages. */
  readonly expected: string;
  isAbsolute(path: string): boolean;
  /** Whether it is a valid name of a file in a folder. */
  isName(name: string): boolean;
  /** The same for all spellings of one file's path, as far as known without accessing the host. */
  key(path: string): string;
  /** An absolute path in its shortest spelling, with its case and prefix kept. */
  clean(path: string): string;
  /** An absolute path as a clean folder and the name of the file in it. A root is its own folder, with no name. */
  split(path: string): { readonly folder: string; readonly name: string };
}

/** Paths are compared byte by byte. */
export const posixPaths: HostPaths = {
  expected: "an absolute path such as /disks/layer.vhd",
  isAbsolute: (path) => path.startsWith("/") && !path.includes("\0"),
  isName: (name) => !["", ".", ".."].includes(name) && !/[/\0]/.test(name),
  key: (path) => path,
  clean: (path) => `/${posixParts(path).join("/")}`,
  split: (path) => {
    const parts = posixParts(path);
    return { folder: `/${parts.slice(0, -1).join("/")}`, name: parts.at(-1) ?? "" };
  },
};

/** With `..`, whose meaning depends on links. */
function posixParts(path: string): readonly string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/**
 * Case does not matter, both slashes separate, and the prefixes \\?\ and \\.\ do not change which file is meant
 * ("Naming Files, Paths, and Namespaces" in the documentation of Windows).
 */
export const windowsPaths: HostPaths = {
  expected: "an absolute path such as C:\\disks\\layer.vhdx or \\\\?\\Volume{…}\\layer.vhdx",
  isAbsolute: (path) => !path.includes("\0") && /^([a-z]:[\\/]|[\\/]{2}[^\\/])/i.test(path),
  isName: (name) => !["", ".", ".."].includes(name) && !/[\\/:*?"<>|\0]/.test(name),
  key: (path) => {
    const { isShare, parts } = windowsParts(path);
    return `${isShare ? "\\\\" : ""}${parts.join("\\")}`.toUpperCase();
  },
  clean: (path) => {
    const { prefix, parts } = windowsParts(path);
    return windowsPath(prefix, parts);
  },
  split: (path) => {
    const { prefix, isShare, parts } = windowsParts(path);
    const roots = isShare ? 2 : 1;
    return {
      folder: windowsPath(prefix, parts.slice(0, Math.max(parts.length - 1, roots))),
      name: parts.length > roots ? (parts.at(-1) ?? "") : "",
    };
  },
};

interface WindowsParts {
  /** What stands before the drive, the volume or the server. */
  readonly prefix: string;
  /** Whether the first two parts are a server and its share. */
  readonly isShare: boolean;
  readonly parts: readonly string[];
}

function windowsParts(path: string): WindowsParts {
  const backslashed = path.replaceAll("/", "\\");
  const prefix = /^\\\\(?:[?.]\\(?:UNC\\)?)?/i.exec(backslashed)?.[0] ?? "";
  const isShare = prefix === "\\\\" || prefix.length > 4;
  // Only paths with \\?\ are literal; in others Windows resolves `.` and `..`.
  const isLiteral = prefix.startsWith("\\\\?\\");
  const parts: string[] = [];
  for (const part of backslashed.slice(prefix.length).split("\\")) {
    if (part === "" || (part === "." && !isLiteral)) continue;
    if (part === ".." && !isLiteral) {
      // A drive, or a server with its share, has no parent.
      if (parts.length > (isShare ? 2 : 1)) parts.pop();
    } else parts.push(part);
  }
  return { prefix, isShare, parts };
}

/** The root of a drive or volume ends with a backslash; without it, it names the current folder or the device. */
function windowsPath(prefix: string, parts: readonly string[]): string {
  const isRoot = parts.length === 1 && /^([a-z]:|volume\{.*\})$/i.test(parts[0] ?? "");
  return `${prefix}${parts.join("\\")}${isRoot ? "\\" : ""}`;
}
