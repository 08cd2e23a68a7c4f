/** The state dump of the emulated host on SIGUSR1, for the analysis of a hanging host. */
import { readdirSync } from "node:fs";
import type { EmulatedHost } from "../emulated-host.ts";

/** Characters that would end a line or control a terminal. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Reports one line for each item. A failure does not lose the lines before it. */
export function dumpState(
  host: Pick<EmulatedHost, "enumerate">,
  clients: number,
  report: (line: string) => void,
): void {
  const item = (what: string, value: unknown): void => {
    const text = JSON.stringify(value).replace(unseen, escaped);
    report(`dump: ${what} ${text}`);
  };
  report(`=== BEGIN state dump === ${process.pid}`);
  try {
    for (const { Id: id, Owner: owner, State: state } of host.enumerate()) item("system", { id, owner, state });
    const { rss, heapUsed, external } = process.memoryUsage();
    item("clients", clients);
    item("stack", (new Error("stack").stack ?? "").split("\n"));
    item("active resources", process.getActiveResourcesInfo());
    item("memory", { rss, heapUsed, external });
    item("descriptors", readdirSync("/proc/self/fd").length);
  } catch (error) {
    // For example without free descriptors.
    item("incomplete:", String(error));
  }
  report("=== END state dump ===");
}

/** JSON escapes; a character above U+FFFF has two. */
function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
