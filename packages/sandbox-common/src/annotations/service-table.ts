import type { HvSocketServiceConfig } from "@uvm-shim/hcs-schema";
import { guid, refuse, refuseUnshown } from "./values.ts";

/** Prefix of keys that end with the GUID of an hvsocket service; the value is a JSON object. */
export const serviceTablePrefix = "io.microsoft.virtualmachine.hv-socket.service-table.";

const fieldTypes: { readonly [Field in keyof HvSocketServiceConfig]-?: "string" | "boolean" } = {
  BindSecurityDescriptor: "string",
  ConnectSecurityDescriptor: "string",
  AllowWildcardBinds: "boolean",
  Disabled: "boolean",
};

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
  for (const [field, member] of Object.entries(value)) {
    const type = Object.hasOwn(fieldTypes, field) ? fieldTypes[field as keyof HvSocketServiceConfig] : undefined;
    if (typeof member !== type) return refuseUnshown(key, text, accepted);
  }
  return value;
}
