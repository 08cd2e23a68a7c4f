import { type JsonBounds, parseWithin } from "@uvm-shim/hcs-schema";

/** Answers of the compute service can contain text of a guest, such as crash reports and exit reasons. */
const documentBounds: JsonBounds = { length: 4 * 1024 * 1024, depth: 64, keys: 65_536, elements: 65_536 };

/** Parses JSON of the host without checking its fields. Throws a SchemaError if it exceeds the bounds or is not JSON. */
export function parseHostDocument(text: string | undefined): unknown {
  return parseWithin(text ?? "", documentBounds);
}
