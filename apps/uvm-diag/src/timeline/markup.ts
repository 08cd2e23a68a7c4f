/** Text that is markup already: everything else is escaped. */
export interface Markup {
  readonly html: string;
}

/** Characters that XML forbids, and those that a browser would obey: guests decide much of the text. */
const unsafe = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it is read, whatever it contains. */
export function markup(text: string): Markup {
  const visible = text.replace(unsafe, (character) =>
    character === "\n" ? "\n" : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return { html: visible.replace(/[&<>"']/g, (character) => escapes[character] ?? "") };
}

export type Attributes = { readonly [name: string]: string | number };

const withoutEnd: ReadonlySet<string> = new Set(["meta", "br"]);

/** An element; its content is escaped where it is text, and so are its attributes. */
export function element(name: string, attributes: Attributes, content: readonly (Markup | string)[] = []): Markup {
  const written = Object.entries(attributes)
    .map(
      ([key, value]) =>
        ` ${key}="${markup(typeof value === "number" ? `${Math.round(value * 10) / 10}` : value).html}"`,
    )
    .join("");
  if (withoutEnd.has(name)) return { html: `<${name}${written}>` };
  const inner = content.map((part) => (typeof part === "string" ? markup(part).html : part.html)).join("");
  return { html: `<${name}${written}>${inner}</${name}>` };
}
