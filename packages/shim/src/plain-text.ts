/**
 * Makes untrusted text safe for log lines and error messages: one line of bounded length, without characters that are
 * invisible, move the cursor or change the writing direction.
 */

/** Control, format (writing direction among them), line and paragraph separator characters, and lone surrogates. */
const invisible = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The spelling of JSON. */
const shortForms: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** The text with every character that a terminal would not show, or would obey, in a visible form. */
export function escaped(text: string): string {
  return text.replace(invisible, (character) => shortForms[character] ?? unitsOf(character));
}

function unitsOf(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}

/** Characters kept at the end of a text that is cut: an error message names its cause there. */
const keptEnd = 1024;

/** Escapes the text; a longer one is cut in the middle, with a note of its length. */
export function printable(text: string, most: number): string {
  // The part that is cut is never escaped: a text may have megabytes.
  const all = text.length <= most ? escaped(text) : undefined;
  if (all !== undefined && all.length <= most) return all;
  const note = ` … (cut: ${text.length} characters in all) … `;
  const end = Math.min(keptEnd, most >>> 2);
  const start = most - end - note.length;
  return `${escaped(text.slice(0, start)).slice(0, start)}${note}${escaped(text.slice(-end)).slice(-end)}`;
}

/** Quotes the text in at most `mostBytes` bytes; a longer one is cut, with a note of its length. */
export function quoted(text: string, mostBytes: number): string {
  if (text.length <= mostBytes) {
    const all = inQuotes(text);
    if (Buffer.byteLength(all) <= mostBytes) return all;
  }
  const note = `… (cut: ${text.length} characters in all)`;
  let bytesLeft = mostBytes - Buffer.byteLength(note) - 2;
  let kept = "";
  for (const character of text) {
    const piece = inQuotes(character).slice(1, -1);
    bytesLeft -= Buffer.byteLength(piece);
    if (bytesLeft < 0) break;
    kept += piece;
  }
  return `"${kept}${note}"`;
}

function inQuotes(text: string): string {
  return escaped(JSON.stringify(text));
}
