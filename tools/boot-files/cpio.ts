/** Archives of the form that the kernel unpacks as its initial root: cpio's "newc" (Documentation/driver-api/early-userspace). */

/** What an archive has at a path. */
export type CpioEntry =
  | { readonly kind: "folder" }
  | { readonly kind: "file"; readonly content: Uint8Array; readonly mode?: number }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "device"; readonly major: number; readonly minor: number };

const types = { folder: 0o040755, file: 0o100644, link: 0o120777, device: 0o020600 };
const trailer = "TRAILER!!!";
const alignment = 4;
/** The kernel reads an archive in blocks of this size, as cpio writes it. */
const block = 512;

/**
 * An archive of these entries, by their paths without a leading slash. The same entries give the same bytes, in whatever
 * order: all is of root, and of 1970. The folders above an entry must be entries themselves.
 */
export function cpioArchive(entries: ReadonlyMap<string, CpioEntry>): Buffer {
  const paths = [...entries.keys()].sort();
  for (const path of paths) {
    const above = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    if (above !== "" && entries.get(above)?.kind !== "folder") {
      throw new Error(`the archive has ${path}, and no folder ${above}`);
    }
  }
  const parts = paths.map((path, index) => member(path, entries.get(path) as CpioEntry, index + 1));
  const archive = Buffer.concat([...parts, member(trailer, { kind: "file", content: new Uint8Array(), mode: 0 }, 0)]);
  return padded(archive, block);
}

function member(path: string, entry: CpioEntry, inode: number): Buffer {
  const content = contentOf(entry);
  const isFolder = entry.kind === "folder";
  const [major, minor] = entry.kind === "device" ? [entry.major, entry.minor] : [0, 0];
  const type = entry.kind === "file" ? (entry.mode === 0 ? 0 : types.file) : types[entry.kind];
  const mode = entry.kind === "file" && entry.mode !== undefined ? (type & ~0o7777) | entry.mode : type;
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, isFolder ? 2 : 1, 0, content.length, 0, 0, major, minor, name.length, 0];
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return Buffer.concat([padded(Buffer.concat([head, name]), alignment), padded(Buffer.from(content), alignment)]);
}

function contentOf(entry: CpioEntry): Uint8Array {
  switch (entry.kind) {
    case "file":
      return entry.content;
    case "link":
      return Buffer.from(entry.target);
    case "folder":
    case "device":
      return new Uint8Array();
  }
}

function padded(bytes: Buffer, multiple: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((multiple - (bytes.length % multiple)) % multiple)]);
}
