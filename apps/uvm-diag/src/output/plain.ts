/**
 * Control characters, which could move the cursor or change colours of the reader's terminal, and marks that change the
 * direction of text. Guests decide much of what is shown.
 */
const unsafe = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|\p{Cs}/gu;

const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One line of text without anything that a terminal would obey. */
export function plain(text: string): string {
  return text.replace(unsafe, escaped);
}

/** The same for text of several lines. */
export function plainLines(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(unsafe, (character) => (/[\n\t]/.test(character) ? character : escaped(character)));
}

/** JSON without characters that a terminal would obey, as the same value: JSON itself escapes only some of them. */
export function plainJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(unsafe, (character) =>
    character === "\n"
      ? character
      : [...Array(character.length).keys()]
          .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
          .join(""),
  );
}

function escaped(character: string): string {
  return short[character] ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
