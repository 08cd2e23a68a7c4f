export interface Mount {
  readonly point: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly type: string;
  readonly source: string;
}

/** Reads the text of /proc/<pid>/mountinfo (proc(5) describes its fields). */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [left = "", right = ""] = line.split(" - ");
      const [, , , root = "", point = ""] = left.split(" ");
      const [type = "", source = ""] = right.split(" ");
      return { point: unescapeField(point), root: unescapeField(root), type, source: unescapeField(source) };
    });
}

/** Space, tab, newline and backslash are written as three octal digits. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
