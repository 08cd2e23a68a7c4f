/**
 * How texts of others are shown, in lines of the log and to clients: in one line, with nothing in it that moves a cursor,
 * turns the direction of writing or cannot be seen, and of bounded length.
 */

/** Controls, formats (among them what turns the direction), line and paragraph separators, halves of characters. */
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** As JSON writes them. */
const shortForms: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

export function escaped(text: string): string {
  return text.replace(unseen, (character) => shortForms[character] ?? unitsOf(character));
}

function unitsOf(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}

/** What a text ends with that says more where it was cut, as those of errors do. */
const shownEnd = 1024;

/** Escaped, and where it is longer than this, cut in its middle, which is told with its length. */
export function shown(text: string, most: number): string {
  // What is cut away is not looked at: a text may be of megabytes.
  const all = text.length <= most ? escaped(text) : undefined;
  if (all !== undefined && all.length <= most) return all;
  const note = ` … (cut: ${text.length} characters in all) … `;
  const end = Math.min(shownEnd, most >>> 2);
  const start = most - end - note.length;
  return `${escaped(text.slice(0, start)).slice(0, start)}${note}${escaped(text.slice(-end)).slice(-end)}`;
}

/** In quotation marks, of at most so many bytes; what is left out is told after them. */
export function quoted(text: string, mostBytes: number): string {
  if (text.length <= mostBytes) {
    const all = inQuotes(text);
    if (Buffer.byteLength(all) <= mostBytes) return all;
  }
  const note = `… (cut: ${text.length} characters in all)`;
  let room = mostBytes - Buffer.byteLength(note) - 2;
  let kept = "";
  for (const character of text) {
    const piece = inQuotes(character).slice(1, -1);
    room -= Buffer.byteLength(piece);
    if (room < 0) break;
    kept += piece;
  }
  return `"${kept}${note}"`;
}

function inQuotes(text: string): string {
  return escaped(JSON.stringify(text));
}
