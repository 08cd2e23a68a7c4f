import { fieldsInAnyCase, foldedName, type HvSocketServiceConfig } from "@uvm-shim/hcs-schema";
import { guid, refuse, refuseUnshown } from "./values.ts";

/** Prefix of keys that end with the GUID of an hvsocket service; the value is a JSON object. */
export const serviceTablePrefix = "io.microsoft.virtualmachine.hv-socket.service-table.";

const fieldTypes: { readonly [Field in keyof HvSocketServiceConfig]-?: "string" | "boolean" } = {
  BindSecurityDescriptor: "string",
  ConnectSecurityDescriptor: "string",
  AllowWildcardBinds: "boolean",
  Disabled: "boolean",
};

/** As Go's decoder takes them, in any case. */
const fieldNames = new Map(
  (Object.keys(fieldTypes) as (keyof HvSocketServiceConfig)[]).map((field) => [foldedName(field), field]),
);

/** By service GUID in lower case. */
export type ServiceTable = { readonly [guid: string]: HvSocketServiceConfig };

/** The hvsocket services that annotations configure. Throws SandboxError. */
export function readServiceTable(annotations: { readonly [key: string]: string }): ServiceTable {
  const table: { [guid: string]: HvSocketServiceConfig } = {};
  for (const [key, value] of Object.entries(annotations)) {
    if (!key.startsWith(serviceTablePrefix)) continue;
    const service = guid(key, key.slice(serviceTablePrefix.length));
    if (service === "") refuse(key, key, "a GUID at its end");
    if (table[service] !== undefined) refuseUnshown(key, value, "each service only once, in any case of its GUID");
    table[service] = readConfig(key, value);
  }
  return table;
}

function readConfig(key: string, text: string): HvSocketServiceConfig {
  const accepted = `a JSON object with ${Object.entries(fieldTypes)
    .map(([field, type]) => `${field} (${type})`)
    .join(", ")}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuseUnshown(key, text, accepted);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refuseUnshown(key, text, accepted);
  const config: { [field: string]: unknown } = {};
  for (const [folded, member] of fieldsInAnyCase(value as { readonly [name: string]: unknown })) {
    const field = fieldNames.get(folded);
    if (field === undefined) return refuseUnshown(key, text, accepted);
    if (member === null) continue;
    if (typeof member !== fieldTypes[field]) return refuseUnshown(key, text, accepted);
    config[field] = member;
  }
  return config;
}
