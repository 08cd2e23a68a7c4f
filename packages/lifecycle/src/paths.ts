/** Path rules of a host's file system. They never access files. */
export interface HostPaths {
  /** Describes an absolute path, to follow "expected" in messages. */
  readonly expected: string;
  isAbsolute(path: string): boolean;
  /** Whether it is a valid name of a file in a folder. */
  isName(name: string): boolean;
  /** The same for all spellings of one file's path, as far as known without accessing the host. */
  key(path: string): string;
}

/** Paths are compared byte by byte. */
export const posixPaths: HostPaths = {
  expected: "an absolute path such as /disks/layer.vhd",
  isAbsolute: (path) => path.startsWith("/") && !path.includes("\0"),
  isName: (name) => !["", ".", ".."].includes(name) && !/[/\0]/.test(name),
  key: (path) => path,
};

/**
 * Case does not matter, both slashes separate, and the prefixes \\?\ and \\.\ do not change which file is meant
 * ("Naming Files, Paths, and Namespaces" in the documentation of Windows).
 */
export const windowsPaths: HostPaths = {
  expected: "an absolute path such as C:\\disks\\layer.vhdx or \\\\?\\Volume{…}\\layer.vhdx",
  isAbsolute: (path) => !path.includes("\0") && /^([a-z]:[\\/]|[\\/]{2}[^\\/])/i.test(path),
  isName: (name) => !["", ".", ".."].includes(name) && !/[\\/:*?"<>|\0]/.test(name),
  key: windowsKey,
};

function windowsKey(path: string): string {
  const backslashed = path.replaceAll("/", "\\");
  const withoutPrefix = backslashed.replace(/^\\\\[?.]\\(UNC\\)?/i, (_, share?: string) => (share ? "\\\\" : ""));
  const isShare = withoutPrefix.startsWith("\\\\");
  // Only paths with \\?\ are literal; in others Windows resolves `.` and `..`.
  const isLiteral = backslashed.startsWith("\\\\?\\");
  const parts: string[] = [];
  for (const part of withoutPrefix.split("\\")) {
    if (part === "" || (part === "." && !isLiteral)) continue;
    if (part === ".." && !isLiteral) {
      // A drive, or a server with its share, has no parent.
      if (parts.length > (isShare ? 2 : 1)) parts.pop();
    } else parts.push(part);
  }
  return `${isShare ? "\\\\" : ""}${parts.join("\\")}`.toUpperCase();
}
