import { SchemaError } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";

/** The form of ids in containerd; they become names of directories. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** `subject` is what the id is of, for the message: "the process id". */
export function checkId(id: string, subject: string, refuse: Refuse): void {
  if (idPattern.test(id)) return;
  throw refuse(
    "InvalidArgument",
    `${subject} must start with a letter or digit, followed by at most 127 letters, digits, "_", "." or "-"`,
  );
}

/**
 * Refuses a NUL in any text or field name of the value: kernels and programs in C would silently drop what follows it.
 */
export function checkWholeTexts(value: unknown, where: string, refuse: Refuse): void {
  const found: Found[] = [{ value }];
  // No recursion, and no path text for each value: unchecked parts may be nested by the thousand.
  for (const at of found) {
    if (typeof at.value === "string" && at.value.includes("\0")) {
      // The text may be a secret, as environment variables are.
      const given = `${at.value.length} characters with NUL at ${at.value.indexOf("\0")}`;
      throw refuse("InvalidArgument", `${placeOf(at, where)}: expected text without NUL, got ${given}`);
    }
    if (typeof at.value !== "object" || at.value === null) continue;
    const isList = Array.isArray(at.value);
    for (const [name, member] of Object.entries(at.value)) {
      if (!isList && name.includes("\0")) {
        const given = JSON.stringify(name.slice(0, mostCharacters));
        throw refuse("InvalidArgument", `${placeOf(at, where)}: expected text without NUL, got ${given}`);
      }
      found.push({ value: member, within: at, step: isList ? `[${name}]` : name });
    }
  }
}

/** A value, the value that contains it, and the step between them. */
interface Found {
  readonly value: unknown;
  readonly within?: Found;
  readonly step?: string;
}

const mostCharacters = 60;
const mostSteps = 16;

/** The path of a value; of a long path the last steps. */
function placeOf(found: Found, where: string): string {
  const steps: string[] = [];
  let at: Found | undefined = found;
  for (; at?.step !== undefined && steps.length < mostSteps; at = at.within) {
    steps.unshift(at.step.slice(0, mostCharacters));
  }
  if (at?.step !== undefined) steps.unshift("…");
  return steps.reduce((place, step) => (step.startsWith("[") ? `${place}${step}` : joined(place, step)), where);
}

function joined(where: string, name: string): string {
  return where.includes(": ") ? `${where}.${name}` : `${where}: ${name}`;
}

/** Runs a schema check; its error becomes InvalidArgument with the file and field. */
export function checked<T>(check: () => T, file: string, refuse: Refuse): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SchemaError) throw refuse("InvalidArgument", `${file}: ${error.message}`, error);
    throw error;
  }
}
