/** What the emulated host says of itself when it is sent SIGUSR1, for somebody who looks into one that hangs. */
import { readdirSync } from "node:fs";
import type { EmulatedHost } from "../emulated-host.ts";

/** What a line may not hold as it is: it would end there, or a terminal would do something else than show it. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Takes a line for each thing. Those before have been written when one cannot be made. */
export function dumpState(
  host: Pick<EmulatedHost, "enumerate">,
  clients: number,
  report: (line: string) => void,
): void {
  const tell = (what: string, value: unknown): void => {
    const text = JSON.stringify(value).replace(unseen, escaped);
    report(`dump: ${what} ${text}`);
  };
  report(`=== BEGIN state dump === ${process.pid}`);
  try {
    for (const { Id: id, Owner: owner, State: state } of host.enumerate()) tell("system", { id, owner, state });
    const { rss, heapUsed, external } = process.memoryUsage();
    tell("clients", clients);
    tell("stack", (new Error("stack").stack ?? "").split("\n"));
    tell("waits", process.getActiveResourcesInfo());
    tell("memory", { rss, heapUsed, external });
    tell("descriptors", readdirSync("/proc/self/fd").length);
  } catch (error) {
    // Where descriptors are lacking, say.
    tell("not all can be told:", String(error));
  }
  report("=== END state dump ===");
}

/** As JSON writes it, which has two escapes for a character above U+FFFF. */
function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
