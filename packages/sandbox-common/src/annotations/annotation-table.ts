import { SandboxError } from "../error.ts";
import { nearest } from "./nearest.ts";
import { readServiceTable, type ServiceTable, serviceTablePrefix } from "./service-table.ts";
import {
  type AnnotationRows,
  keyOf,
  own,
  type SharedValues,
  unsafeOperations,
  type ValuesOf,
  vm,
} from "./shared-annotations.ts";
import { refuse } from "./values.ts";

/** Names the sandbox of a container; read by the shim. */
const readByShim = `${own}sandbox-id`;

const ownPrefixes = [
  vm,
  "io.microsoft.container.",
  "io.microsoft.lcow.",
  "io.microsoft.wcow.",
  "io.microsoft.network.",
  "io.microsoft.migration.",
  "io.microsoft.cri.",
  own,
];

/** Unknown keys that are named in warnings; a pod may have thousands. */
const mostNamed = 32;
const longestKey = 200;

/** What an `AnnotationTable` is made from. */
export interface AnnotationTableOptions<Rows extends AnnotationRows> {
  readonly guests: "Linux" | "Windows";
  /** Every annotation with an effect. */
  readonly effective: Rows;
  /** Annotations of earlier shims that are not supported: only the empty text is accepted. */
  readonly unsupported: readonly string[];
  /** Known keys without effect on these guests. */
  readonly withoutEffect: readonly string[];
  /** Keys of containers, which their controller reads. */
  readonly knownElsewhere: readonly string[];
  /** Of keys that concern the other guests alone. */
  readonly foreignPrefixes: readonly string[];
}

/** The values of the annotations that were given. */
export interface ReadAnnotations<Rows extends AnnotationRows> {
  readonly values: ValuesOf<Rows>;
  readonly serviceTable: ServiceTable;
}

/** Which annotations the sandboxes of one kind of guest have. */
export class AnnotationTable<Rows extends AnnotationRows> {
  readonly #options: AnnotationTableOptions<Rows>;
  readonly #namesByKey: ReadonlyMap<string, string>;
  readonly #nearableKeys: readonly string[];

  constructor(options: AnnotationTableOptions<Rows>) {
    this.#options = options;
    const { effective, unsupported, knownElsewhere } = options;
    this.#namesByKey = new Map(Object.entries(effective).map(([name, [key]]) => [key, name]));
    this.#nearableKeys = [...this.#namesByKey.keys(), ...unsupported, ...knownElsewhere];
  }

  /** Every known key of sandboxes, except those that end with the GUID of a service. */
  get sandboxKeys(): readonly string[] {
    const { unsupported, withoutEffect } = this.#options;
    return [...this.#namesByKey.keys(), ...unsupported, ...withoutEffect];
  }

  /**
   * Reads the annotations that concern the VM. Warns of the first unknown keys with a known prefix one by one, and of
   * the others by their number. Throws SandboxError.
   */
  read(annotations: { readonly [key: string]: string }, warn: (sentence: string) => void): ReadAnnotations<Rows> {
    const { effective, unsupported, withoutEffect, guests } = this.#options;
    const values: { [name: string]: unknown } = {};
    let unknown = 0;
    for (const [key, value] of Object.entries(annotations)) {
      const name = this.#namesByKey.get(key);
      const row = name === undefined ? undefined : effective[name];
      if (name !== undefined && row !== undefined) values[name] = row[1](key, value);
      else if (unsupported.includes(key)) refuseUnsupported(key, value);
      else if (withoutEffect.includes(key)) warn(`annotation ${key} has no effect on ${guests} sandboxes`);
      else if (this.#isUnknown(key)) {
        unknown += 1;
        if (unknown <= mostNamed) warn(this.#unknownKey(key));
      }
    }
    if (unknown > mostNamed) warn(`${unknown - mostNamed} more unknown annotations`);
    return { values: expand(values) as ValuesOf<Rows>, serviceTable: readServiceTable(annotations) };
  }

  #isUnknown(key: string): boolean {
    const { knownElsewhere } = this.#options;
    if (knownElsewhere.includes(key) || key === readByShim || key.startsWith(serviceTablePrefix)) return false;
    return ownPrefixes.some((prefix) => key.startsWith(prefix));
  }

  #unknownKey(key: string): string {
    const { foreignPrefixes, guests } = this.#options;
    if (foreignPrefixes.some((prefix) => key.startsWith(prefix))) {
      const others = guests === "Linux" ? "Windows" : "Linux";
      return `annotation ${shortened(key)} concerns ${others} guests and has no effect`;
    }
    const near = nearest(key, this.#nearableKeys);
    return `unknown annotation ${shortened(key)}${near === undefined ? "" : `: did you mean ${near}?`}`;
  }
}

function refuseUnsupported(key: string, value: string): void {
  if (value === "") return;
  throw new SandboxError(
    "Unimplemented",
    key,
    `got ${value.length} characters, expected nothing: this annotation is not supported`,
  );
}

/** disable-unsafe-operations sets several annotations; another value of one of them is a contradiction. */
function expand(values: SharedValues): SharedValues {
  const { disableUnsafeOperations: all } = values;
  const expanded: { [Name in (typeof unsafeOperations)[number]]?: boolean } = {};
  for (const name of unsafeOperations) {
    if (all === undefined) break;
    if (values[name] !== undefined && values[name] !== all) {
      refuse(keyOf(name), String(values[name]), `${all}, as ${keyOf("disableUnsafeOperations")} says`);
    }
    expanded[name] = all;
  }
  const result = { ...values, ...expanded };
  if (result.hostProcess && result.disableHostProcess) {
    refuse(keyOf("hostProcess"), "true", `false, as ${keyOf("disableHostProcess")} says`);
  }
  return result;
}

function shortened(key: string): string {
  return key.length <= longestKey ? key : `${key.slice(0, longestKey)}… (${key.length} characters)`;
}
