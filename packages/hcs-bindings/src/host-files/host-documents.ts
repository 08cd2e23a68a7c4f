import { type JsonBounds, parseWithin } from "@uvm-shim/hcs-schema";

/** The compute service answers with what guests told it, too: crash reports, and why a VM ended. */
const documentBounds: JsonBounds = { length: 4 * 1024 * 1024, depth: 64, keys: 65_536, elements: 65_536 };

/** A document of the host as JSON, unchecked. Throws a SchemaError for what is beyond any document, or no JSON. */
export function parseHostDocument(text: string | undefined): unknown {
  return parseWithin(text ?? "", documentBounds);
}
