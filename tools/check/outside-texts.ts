/**
 * Where a text from outside may become an object. What a guest or a host answers is bounded before it is parsed, and
 * then copied by a table (FromGuest and parseWithin of hcs-schema); the types prove the copy, this that nobody goes by.
 */

import { isTestFile } from "./boundaries.ts";
import { childrenOf, isNode, lineOf, type Node, treeOf } from "./syntax.ts";

/** The modules that call JSON.parse, each with what it reads there. */
export const jsonReaders: Readonly<Record<string, string>> = {
  "packages/hcs-schema/src/bounded-json.ts": "what has kept its bounds",
  "packages/gcs-bridge/src/fields.ts": "bodies of messages, whose bounds the host's end looks at first",
  "packages/controller-container/src/plan/root.ts": "options of the caller's mounts",
  "packages/sandbox-common/src/annotations/service-table.ts": "an annotation of the caller's",
  "packages/sandbox-wcow/src/annotations/registry-values.ts": "an annotation of the caller's",
  "packages/sandbox-wcow/src/document/log-sources.ts": "an annotation of the caller's",
  "packages/sandbox-wcow/src/layers.ts": "a mount option of the caller's",
  "packages/shim/src/specification-json.ts":
    "the caller's specifications and resources, whose values are counted first",
  "apps/uvm-diag/src/shim/state.ts": "what a shim answers, whose messages are bounded",
  "packages/shim/src/program/state-file.ts": "what the shim itself wrote",
  "packages/shim/src/record/lines.ts": "records, which it checks line by line",
};

/** The modules whose checks keep fields that they do not know: of the OCI specification, which callers write. */
export const keepers: readonly string[] = [
  "guest/guest-checks",
  "oci/oci-devices",
  "oci/oci-linux",
  "oci/oci-resources",
  "oci/oci-windows",
].map((name) => `packages/hcs-schema/src/${name}.ts`);

/** Where checks are declared to copy. */
const proof = "packages/hcs-schema/src/check.ts";

/** What is no part of a shim on a host: there a JSON text is the host's, or of a program that serves the guest. */
const insideGuests = ["packages/guest-agent", "packages/host-emulator", "packages/linux-calls"];

export interface LooseReading {
  readonly line: number;
  readonly why: string;
}

/** What in a module of a shim makes objects of texts in another way. */
export function looseReadings(file: string, source: string): readonly LooseReading[] {
  if (isTestFile(file) || insideGuests.some((folder) => file.startsWith(`${folder}/`))) return [];
  const found: LooseReading[] = [];
  const visit = (node: Node, parent: Node | undefined): void => {
    const why = looseness(file, node, parent);
    if (why !== undefined) found.push({ line: lineOf(node, source), why });
    for (const child of childrenOf(node)) visit(child, node);
  };
  visit(treeOf(file, source), undefined);
  return found;
}

function looseness(file: string, node: Node, parent: Node | undefined): string | undefined {
  switch (node.type) {
    case "Identifier":
      if (node.name !== "JSON" || isWriting(parent) || file in jsonReaders) return undefined;
      return "JSON.parse: read a guest's text with FromGuest, a host's with parseWithin, or name what it is in tools/check/outside-texts.ts";
    case "ImportSpecifier":
      if (nameOf(node.imported) !== "openObject" || keepers.includes(file)) return undefined;
      return "openObject keeps what it does not know: answers are copied, by answerObject";
    case "TSTypeReference":
      if (!/^Copying(Check)?$/.test(nameOf(node.typeName)) || parent?.type !== "TSAsExpression" || file === proof) {
        return undefined;
      }
      return "a check is not said to copy, it is made of such checks";
    case "CallExpression":
      if (!isReadOfAssertion(node)) return undefined;
      return "a document of a guest is read by a check as it is, not by an assertion";
  }
  return undefined;
}

/** Whether an object becomes a text there, or a type is declared. */
function isWriting(parent: Node | undefined): boolean {
  if (parent?.type === "TSInterfaceDeclaration") return true;
  const isMember = parent?.type === "MemberExpression" && parent.computed === false;
  return isMember && ["stringify", "rawJSON"].includes(nameOf(parent.property));
}

function isReadOfAssertion({ callee, arguments: given }: Node): boolean {
  const isRead = isNode(callee) && callee.type === "MemberExpression" && nameOf(callee.property) === "read";
  return isRead && Array.isArray(given) && given.some((argument) => isNode(argument) && argument.type.startsWith("TS"));
}

function nameOf(value: unknown): string {
  return isNode(value) && typeof value.name === "string" ? value.name : "";
}
