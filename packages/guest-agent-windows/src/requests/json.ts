import { SchemaError } from "@uvm-shim/hcs-schema";

/** The value of JSON in a string. Throws a SchemaError. */
export function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SchemaError(path, "expected JSON in a string", { cause });
  }
}
