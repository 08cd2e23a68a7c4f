import { deepStrictEqual } from "node:assert";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Answer } from "./answer.ts";
import { answerTo, type DocumentCase } from "./answers.ts";
import { withCountedIds } from "./container-ids.ts";
import { differences } from "./differences.ts";
import { parseWhole } from "./number-text.ts";

function read(name: string): unknown {
  return parseWhole(readFileSync(new URL(name, import.meta.url), "utf8"));
}

const cases = read("cases.json") as readonly DocumentCase[];
const golden = read("golden.json") as Readonly<Record<string, Answer>>;

/** What is compared; the golden file has more, which no one document decides. */
function shownOf({ parameters, document, sandbox, containerId }: Answer = {}): readonly unknown[] {
  return [parameters, containerId === undefined ? document : withCountedIds(document), sandbox, containerId];
}

async function agrees(asked: DocumentCase): Promise<boolean> {
  const answer = await answerTo(asked);
  const expected = golden[asked.name];
  // Of upstream's errors only that one comes is compared: the texts are our own.
  if (expected?.error !== undefined) return answer.error !== undefined;
  try {
    deepStrictEqual(shownOf(answer), shownOf(expected));
    return true;
  } catch {
    return false;
  }
}

describe("documents for Windows against upstream's", () => {
  it.each(cases.map((asked) => ({ name: asked.name, asked })))("$name", async ({ name, asked }) => {
    const reason = differences[name];
    expect(await agrees(asked), reason === undefined ? "no reason to differ" : `stale reason: ${reason}`).toBe(
      reason === undefined,
    );
  });

  it("has reasons for known cases only", () => {
    const names = new Set(cases.map((asked) => asked.name));
    expect(Object.keys(differences).filter((name) => !names.has(name))).toEqual([]);
  });

  it("keeps numbers beyond 2^53 whole", () => {
    expect(parseWhole("[9223372036854775807, 1.5, 1]")).toEqual([9223372036854775807n, 1.5, 1]);
  });
});
