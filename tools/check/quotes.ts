/** Messages that a document quotes, and whether a program still says them. */

/** A message as a document quotes it, with `…` for what differs. */
export interface Quote {
  readonly line: number;
  readonly text: string;
}

/**
 * The quotes in the first column of the tables of a document. In a cell they are separated by semicolons, and what is
 * said of one is behind it in parentheses: messages have quotation marks and commas of their own.
 */
export function quotesIn(document: string): readonly Quote[] {
  return document.split("\n").flatMap((row, index) => {
    const [, cell] = /^\| (.*?[^ ]) +\|/.exec(row) ?? [];
    if (cell === undefined) return [];
    const found = cell.matchAll(/(?:^|(?<=; ))"(.+?)"(?=$|; | \()/g);
    return [...found].map(([, text = ""]) => ({ line: index + 1, text }));
  });
}

/** Shorter texts are anywhere. */
const shortestPiece = 8;
/** A value that a message shows: in quotation marks, a path, a word with a digit, a unit, a code. */
const value = /…[\w.]*|"[^"]*"|`[^`]*`|(?:\/[\w.-]+)+|\b\w*\d[\w-]*|\bMi?B\b|\b[A-Z]+(?:_[A-Z]+)+\b|[[\]]/g;

/** The first part of a quote that is nowhere in the sources; undefined if all of it is. */
export function unsaidIn(quote: string, sources: string): string | undefined {
  for (const part of quote.split(value)) {
    let rest = part.replace(/^[\s:;,.()]+|[\s:;,.()]+$/g, "");
    while (rest.length >= 4) {
      const length = longestSaid(rest, sources);
      // A message may be put together of several, each of which is said somewhere.
      if (length < Math.min(shortestPiece, rest.length)) return rest;
      rest = rest.slice(length).trimStart();
    }
  }
  return undefined;
}

/** How many characters of a text, from its beginning, are somewhere in the sources; by halves. */
function longestSaid(text: string, sources: string): number {
  let [said, unsaid] = [0, text.length + 1];
  while (unsaid - said > 1) {
    const middle = (said + unsaid) >>> 1;
    if (sources.includes(text.slice(0, middle))) said = middle;
    else unsaid = middle;
  }
  return said;
}

/** The text of a source without its comments, in which a message may be described that nobody says. */
export function withoutComments(source: string): string {
  return source.replace(/^\s*(?:\/\/|\/?\*).*$/gm, "");
}
