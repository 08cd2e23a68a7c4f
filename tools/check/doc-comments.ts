/** Exported declarations that their users find no documentation of. */
import type { Problem } from "./problem.ts";
import { isNode, lineOf, type Node, treeOf } from "./syntax.ts";

/** The exported declarations of a module that no doc comment stands directly before. Of overloads the first needs one. */
export function undocumented(file: string, source: string): readonly Problem[] {
  const documented = new Set<string>();
  const problems: Problem[] = [];
  for (const node of treeOf(file, source).body as readonly Node[]) {
    const { declaration } = node;
    if (node.type !== "ExportNamedDeclaration" || !isNode(declaration)) continue;
    const names = namesOf(declaration);
    if (hasDocComment(source.slice(0, node.start))) {
      for (const name of names) documented.add(name);
    } else if (names.some((name) => !documented.has(name))) {
      problems.push({
        file,
        line: lineOf(node, source),
        what: `${names.join(", ")} is exported without a doc comment`,
      });
    }
  }
  return problems;
}

function namesOf({ id, declarations }: Node): readonly string[] {
  const ids = isNode(id) ? [id] : ((declarations ?? []) as readonly Node[]).map((each) => each.id as Node);
  return ids.map(({ name }) => String(name));
}

function hasDocComment(before: string): boolean {
  const text = before.trimEnd();
  const gap = before.slice(text.length);
  return (
    text.endsWith("*/") && text.lastIndexOf("/**") > text.lastIndexOf("*/", text.length - 3) && !gap.includes("\n\n")
  );
}
