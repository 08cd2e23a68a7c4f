/**
 * A container's document whose layers' ids and volumes are counted: ids are the host's own, of which only matters which
 * are equal, and volumes have fresh ones.
 */
export function withCountedIds(document: unknown): unknown {
  const counted = new Map<string, string>();
  const countedOf = (id: string): string => {
    const known = counted.get(id) ?? `id ${counted.size}`;
    counted.set(id, known);
    return known;
  };
  const visit = (value: unknown): unknown => {
    if (typeof value === "string") {
      return value.replace(/(?<=^\\\\\?\\Volume\{)[^}]+(?=\})/, (id) => countedOf(id));
    }
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name,
        name === "Id" && typeof member === "string" ? countedOf(member) : visit(member),
      ]),
    );
  };
  return visit(document);
}
