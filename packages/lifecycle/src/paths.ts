/** How the host's file system writes paths, and when two of them name the same file. It looks at no file. */
export interface HostPaths {
  /** What an absolute path is there, to complete "expected …". */
  readonly expected: string;
  isAbsolute(path: string): boolean;
  /** Whether it can be the name of something in a folder. */
  isName(name: string): boolean;
  /** The same for all ways to write the path of one file, as far as that can be told without asking the host. */
  key(path: string): string;
}

/** Names differ when any byte does. */
export const posixPaths: HostPaths = {
  expected: "an absolute path such as /disks/layer.vhd",
  isAbsolute: (path) => path.startsWith("/") && !path.includes("\0"),
  isName: (name) => !["", ".", ".."].includes(name) && !/[/\0]/.test(name),
  key: (path) => path,
};

/**
 * Case means nothing, either slash separates, and the prefixes \\?\ and \\.\ change nothing about which file it is
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
  // Only paths behind \\?\ are taken literally; in others the system resolves what stands for a folder.
  const isLiteral = backslashed.startsWith("\\\\?\\");
  const parts: string[] = [];
  for (const part of withoutPrefix.split("\\")) {
    if (part === "" || (part === "." && !isLiteral)) continue;
    if (part === ".." && !isLiteral) {
      // The drive, or the server and its share, have no parent.
      if (parts.length > (isShare ? 2 : 1)) parts.pop();
    } else parts.push(part);
  }
  return `${isShare ? "\\\\" : ""}${parts.join("\\")}`.toUpperCase();
}
