/** JSON whose whole numbers beyond 2^53 are kept whole, as BigInt. */
export function parseWhole(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? wholeOr(value, context.source)
      : value,
  );
}

export function writeWhole(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, member: unknown) =>
      typeof member === "bigint"
        ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(`${member}`)
        : member,
    2,
  );
}

function wholeOr(value: number, source: string): bigint | number {
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}
