/** Changes of a container's registry, as text that Wine adds to its file of HKEY_LOCAL_MACHINE. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { ContainerDocument } from "./document.ts";

type Changes = NonNullable<ContainerDocument["RegistryChanges"]>;
type Value = NonNullable<Changes["AddValues"]>[number];

const hives: ReadonlyMap<string, string> = new Map([
  ["System", "System"],
  ["Software", "Software"],
  ["Security", "Security"],
  ["Sam", "SAM"],
]);

/** Numbers of the types whose values are bytes. */
const types = { None: 0, ExpandedString: 2, Binary: 3, MultiString: 7, QWord: 11 } as const;
/** A time before that of all keys; without one, Wine takes the key for one of an older form. */
const keyTime = 1;

/** Throws a GuestFault for a change that a registry cannot take. */
export function registryText(changes: Changes | undefined): string {
  const path = "Container.RegistryChanges";
  if ((changes?.DeleteKeys ?? []).length > 0) {
    throw new GuestFault("ERROR_NOT_SUPPORTED", `${path}.DeleteKeys: this guest deletes no keys of its registry`);
  }
  return (changes?.AddValues ?? []).map((value, index) => sectionOf(value, `${path}.AddValues[${index}]`)).join("");
}

function sectionOf(value: Value, path: string): string {
  const hive = hives.get(value.Key?.Hive ?? "");
  if (hive === undefined) throw invalid(`${path}.Key.Hive`, `one of ${[...hives.keys()].join(", ")}`);
  // Wine's file has no links in it, and Windows' name for the set of controls in use is one.
  const names = (value.Key?.Name ?? "").replace(/^CurrentControlSet(?=\\|$)/i, "ControlSet001").split("\\");
  const key = [hive, ...names].filter((name) => name !== "").join("\\");
  return `\n[${escaped(key)}] ${keyTime}\n${nameOf(value.Name ?? "")}=${dataOf(value, path)}\n`;
}

function nameOf(name: string): string {
  return name === "" ? "@" : quoted(name);
}

function dataOf(value: Value, path: string): string {
  switch (value.Type) {
    case "String":
      return quoted(value.StringValue ?? "");
    case "ExpandedString":
      return hex(types.ExpandedString, Buffer.from(`${value.StringValue ?? ""}\0`, "utf16le"));
    case "MultiString":
      return hex(types.MultiString, Buffer.from(`${value.StringValue ?? ""}\0\0`, "utf16le"));
    case "DWord":
      return `dword:${number(value.DWordValue, 0xffffffff, `${path}.DWordValue`).toString(16).padStart(8, "0")}`;
    case "QWord": {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(number(value.QWordValue, Number.MAX_SAFE_INTEGER, `${path}.QWordValue`)));
      return hex(types.QWord, bytes);
    }
    case "Binary":
      return hex(types.Binary, Buffer.from(String(value.BinaryValue ?? ""), "base64"));
    case "CustomType":
      return hex(
        number(value.CustomType, 0xffffffff, `${path}.CustomType`),
        Buffer.from(String(value.BinaryValue ?? ""), "base64"),
      );
    default:
      return hex(types.None, Buffer.alloc(0));
  }
}

function hex(type: number, bytes: Buffer): string {
  return `hex(${type.toString(16)}):${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(",")}`;
}

function number(value: unknown, most: number, path: string): number {
  const given = Number(value ?? 0);
  if (Number.isInteger(given) && given >= 0 && given <= most) return given;
  throw invalid(path, `an integer from 0 to ${most}`);
}

function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '\\"')}"`;
}

/** In Wine's files, backslashes are doubled, and what is not ASCII is written as its number. */
function escaped(text: string): string {
  return [...text.replaceAll("\\", "\\\\")]
    .map((character) => (/[\x20-\x7e]/.test(character) ? character : unitsOf(character)))
    .join("");
}

function unitsOf(character: string): string {
  return Array.from(
    { length: character.length },
    (_, at) => `\\x${character.charCodeAt(at).toString(16).padStart(4, "0")}`,
  ).join("");
}

function invalid(path: string, expected: string): GuestFault {
  return new GuestFault("E_INVALIDARG", `${path}: expected ${expected}`);
}
