/** The Mermaid diagrams between the diagram markers of a README, in order. */
export function diagramsIn(markdown: string): readonly string[] {
  return [...markdown.matchAll(/<!-- diagram:start -->\s*```mermaid\n(.*?)\n```\s*<!-- diagram:end -->/gs)].map(
    (match) => match[1] ?? "",
  );
}
