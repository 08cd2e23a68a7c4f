import { fieldsInAnyCase, foldedName, type VirtualMachineType } from "@uvm-shim/hcs-schema";
import { decodeBase64, fieldsOf, type Reader, SandboxError, shownValue } from "@uvm-shim/sandbox-common";

type RegistryValue = VirtualMachineType<"RegistryValue">;
type RegistryHive = VirtualMachineType<"RegistryHive">;
type RegistryValueType = VirtualMachineType<"RegistryValueType">;

const hives = ["System", "Software", "Security", "Sam"] as const satisfies readonly RegistryHive[];

/** Which field holds the data of each type. */
const dataFields = {
  None: "BinaryValue",
  String: "StringValue",
  ExpandedString: "StringValue",
  MultiString: "StringValue",
  Binary: "BinaryValue",
  DWord: "DWordValue",
  QWord: "QWordValue",
  CustomType: "BinaryValue",
} as const satisfies { readonly [Type in RegistryValueType]: keyof RegistryValue };
const types = Object.keys(dataFields) as readonly RegistryValueType[];

/** Keys that may be set, in lower case: other settings could make a different machine of the guest. */
const allowed: { readonly [Hive in RegistryHive]?: readonly string[] } = {
  System: ["currentcontrolset\\services", "currentcontrolset\\policies", "software"],
  Software: [""],
};

const valueFields = ["Key", "Name", "Type", ...new Set(Object.values(dataFields)), "CustomType"];
const keyFields = ["Hive", "Name", "Volatile"];

/** Values of the guest's registry: a JSON list as in HCS's documents. */
export const registryValues: Reader<readonly RegistryValue[]> = (key, text) => {
  if (text === "") return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return refuseAt(key, "", text, "a JSON list of registry values");
  }
  if (list === null) return [];
  if (!Array.isArray(list)) return refuseAt(key, "", list, "a JSON list of registry values");
  return list.map((item: unknown, index) => registryValue(new Item(key, `[${index}]`, item, valueFields)));
};

/** An object of the list, whose errors say where it is. */
class Item {
  readonly #key: string;
  readonly #place: string;
  readonly #fields: { readonly [field: string]: unknown };

  constructor(key: string, place: string, value: unknown, known: readonly string[]) {
    this.#key = key;
    this.#place = place;
    const accepted = `an object with ${known.join(", ")}`;
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuseAt(key, place, value, accepted);
    // As Go's decoder takes them, in any case of their names.
    const names = new Map(known.map((name) => [foldedName(name), name]));
    const unknown = Object.keys(value).find((field) => !names.has(foldedName(field)));
    if (unknown !== undefined) refuseAt(key, place, unknown, accepted);
    const given = [...fieldsInAnyCase(fieldsOf(value))].filter(([, member]) => member !== null);
    this.#fields = Object.fromEntries(given.map(([folded, member]) => [names.get(folded) ?? folded, member]));
  }

  object(field: string, known: readonly string[]): Item {
    return new Item(this.#key, `${this.#place}.${field}`, this.#fields[field], known);
  }

  /** Zeros and empty texts say nothing. */
  has(field: string): boolean {
    const value = this.#fields[field];
    return value !== undefined && value !== 0 && value !== "";
  }

  text(field: string): string {
    const value = this.#fields[field];
    return typeof value === "string" && value !== "" ? value : this.refuseText(field, "text");
  }

  oneOf<Word extends string>(field: string, words: readonly Word[]): Word {
    const value = this.#fields[field];
    return words.find((word) => word === value) ?? this.refuse(field, `one of ${words.join(", ")}`);
  }

  optionalText(field: string, accepted: string, accepts: (text: string) => boolean): string {
    const value = this.#fields[field] ?? "";
    return typeof value === "string" && accepts(value) ? value : this.refuseText(field, accepted);
  }

  whole(field: string, least: number, most: number): number {
    const value = this.#fields[field] ?? 0;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    return this.refuse(field, `a whole number from ${least} to ${most}`);
  }

  flag(field: string): boolean {
    const value = this.#fields[field] ?? false;
    return typeof value === "boolean" ? value : this.refuse(field, "true or false");
  }

  /** A password may be a number that lacks its quotation marks. */
  refuseText(field: string, accepted: string): never {
    const value = this.#fields[field];
    if (typeof value !== "number") this.refuse(field, accepted);
    const message = `got a number as ${this.#place}.${field}, expected ${accepted}`;
    throw new SandboxError("InvalidArgument", this.#key, message);
  }

  refuse(field: string, accepted: string): never {
    return refuseAt(this.#key, `${this.#place}.${field}`, this.#fields[field], accepted);
  }
}

function registryValue(item: Item): RegistryValue {
  const Type = item.oneOf("Type", types);
  const field = dataFields[Type];
  for (const other of new Set(Object.values(dataFields))) {
    if (other !== field && item.has(other)) item.refuse(other, `none: a value of type ${Type} has ${field}`);
  }
  if (Type !== "CustomType" && item.has("CustomType")) item.refuse("CustomType", `none, as Type is ${Type}`);
  return {
    Key: registryKey(item.object("Key", keyFields)),
    Name: item.text("Name"),
    Type,
    ...dataOf(item, field),
    ...(item.has("CustomType") && { CustomType: item.whole("CustomType", 0, 2 ** 31 - 1) }),
  };
}

function registryKey(item: Item): NonNullable<RegistryValue["Key"]> {
  const Hive = item.oneOf("Hive", hives);
  const Name = item.text("Name");
  const path = Name.toLowerCase();
  const folders = allowed[Hive] ?? [];
  if (!folders.some((folder) => folder === "" || path === folder || path.startsWith(`${folder}\\`))) {
    const named = folders.map((folder) => `${folder}\\`).join(", ");
    item.refuse("Name", named === "" ? "another hive: System or Software" : `a key in one of ${named}`);
  }
  return { Hive, Name, ...(item.flag("Volatile") && { Volatile: true }) };
}

function dataOf(item: Item, field: (typeof dataFields)[RegistryValueType]): RegistryValue {
  switch (field) {
    case "StringValue": {
      const value = item.optionalText(field, "text", () => true);
      return value === "" ? {} : { StringValue: value };
    }
    case "BinaryValue": {
      const value = item.optionalText(field, "base64", (text) => decodeBase64(text) !== undefined);
      return value === "" ? {} : { BinaryValue: value };
    }
    case "DWordValue": {
      // HCS's numbers have no sign; the hcsshim's have.
      const value = item.whole(field, -(2 ** 31), 2 ** 32 - 1);
      return { DWordValue: value < 0 ? value + 2 ** 32 : value };
    }
    case "QWordValue":
      return { QWordValue: item.whole(field, 0, Number.MAX_SAFE_INTEGER) };
  }
}

function refuseAt(key: string, place: string, value: unknown, accepted: string): never {
  const where = place === "" ? "" : ` as ${place}`;
  throw new SandboxError("InvalidArgument", key, `got ${shownValue(value)}${where}, expected ${accepted}`);
}
