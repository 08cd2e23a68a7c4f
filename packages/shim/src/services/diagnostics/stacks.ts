import { describeRuntime, type StateLine } from "../state-dump.ts";
import type { DiagnosticParts } from "./parts.ts";
import { workOf } from "./state-tree.ts";

/**
 * What stands for the stacks of a shim: its JavaScript stack is that of the answer itself, and what it waits for is in no
 * stack, so the work under way follows.
 */
export function shimStacks({ watch, describe }: DiagnosticParts): string {
  const work = workOf(watch).map(({ kind, name, attributes, milliseconds, within }) => {
    const place = within.length === 0 ? "" : ` within ${within.join(", ")}`;
    return `${kind} ${name}${place}, for ${milliseconds} ms ${fieldsText(attributes)}`.trimEnd();
  });
  return [
    textOf([...describe(), ...describeRuntime()]),
    work.length === 0 ? "work under way: none" : ["work under way:", ...work].join("\n"),
  ].join("\n\n");
}

/** The lines of a state dump as text. */
export function textOf(lines: readonly StateLine[]): string {
  return lines.map(({ message, fields }) => `${message.replace(/^dump: /, "")}: ${fieldsText(fields)}`).join("\n");
}

function fieldsText(fields: { readonly [name: string]: unknown }): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (String(value).includes("\n") ? `${name}=\n${value}` : `${name}=${value}`))
    .join(" ");
}
