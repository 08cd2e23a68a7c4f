/** Assertions that hold whatever the code does. */

import type { Problem } from "./problem.ts";
import { childrenOf, isNode, lineOf, type Node, treeOf } from "./syntax.ts";

/**
 * Regular expressions that a test compares by `toMatchObject`, or puts into an object that is to be matched: vitest takes
 * one for an object without keys, which every text matches. `expect.stringMatching` is what was meant.
 */
export function emptyMatches(file: string, source: string): readonly Problem[] {
  const found: Problem[] = [];
  const visit = (node: Node, isMatched: boolean): void => {
    if (isMatched && node.type === "Literal" && "regex" in node) {
      const line = lineOf(node, source);
      found.push({ file, line, what: "matches everything: write expect.stringMatching(/…/)" });
    }
    const isMatch = node.type === "CallExpression" && calls(node, "toMatchObject");
    for (const child of childrenOf(node)) {
      const isArgument = isMatch && child !== node.callee;
      const continues = isMatched && node.type !== "CallExpression";
      visit(child, isArgument || continues || isMessage(node, child));
    }
  };
  visit(treeOf(file, source), false);
  return found;
}

function calls({ callee }: Node, method: string): boolean {
  return (
    isNode(callee) && callee.type === "MemberExpression" && isNode(callee.property) && callee.property.name === method
  );
}

/** Whether it is the value of a property `message`, which an object that is matched later has. */
function isMessage(node: Node, child: Node): boolean {
  return node.type === "Property" && node.value === child && isNode(node.key) && node.key.name === "message";
}
