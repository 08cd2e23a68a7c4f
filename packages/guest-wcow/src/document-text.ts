declare global {
  interface JSON {
    rawJSON(text: string): unknown;
  }
}

/** A document as JSON. Limits in it may have 64 bits, which only a bigint holds whole. */
export function documentText(document: object): string {
  return JSON.stringify(document, (_name, value: unknown) =>
    typeof value === "bigint" ? JSON.rawJSON(value.toString()) : value,
  );
}
