import { deepStrictEqual } from "node:assert";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Answer } from "./answer.ts";
import { answersTo, answerTo, type DocumentCase } from "./answers.ts";
import { withCountedIds } from "./container-ids.ts";
import { differences } from "./differences.ts";
import { hostFactsOf } from "./facts.ts";
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

  it("answers every case, whatever fails in another", async () => {
    const [first] = cases;
    const broken = { name: "broken", kind: "process", process: { args: ["a"] } } as unknown as DocumentCase;
    const unknown = { name: "unknown", kind: "sandbox" } as unknown as DocumentCase;
    const nulls = { args: ["a"], env: null, user: null, consoleSize: null, commandLine: null };
    const empty = { name: "empty", kind: "process", process: nulls, spec: { annotations: null } } as DocumentCase;
    const asked = [unknown, { ...broken, process: { args: "a" } } as DocumentCase, empty, ...(first ? [first] : [])];
    expect(await answersTo(asked)).toEqual({
      unknown: { error: expect.stringContaining("unexpected: TypeError") },
      broken: { error: expect.stringContaining("args: expected a list") },
      empty: { parameters: { CommandLine: "a" } },
      [first?.name ?? ""]: { document: expect.anything() },
    });
  });

  it.each([
    ["C:/mounts/dir", "folder"],
    ["c:\\MOUNTS\\.\\x\\..\\dir\\", "folder"],
    ["\\\\?\\C:\\mounts\\dir", "folder"],
    ["C:\\mounts\\\\dir\\File.txt", "file"],
    ["C:\\mounts\\dir\\file.txt\\", "nothing"],
    ["C:\\", "folder"],
    ["C:\\mounts\\empty", "folder"],
    ["mounts\\dir", "nothing"],
    ["D:\\mounts\\dir", "nothing"],
  ])("finds what a case puts on its host, in any spelling: %s is %s", (path, expected) => {
    const files = ["C:\\mounts\\dir\\file.txt", "C:/mounts/empty/"];
    const { hasFile, hasFolder } = hostFactsOf({ bundle: "C:\\bundle", files, contents: null });
    expect(hasFile(path) ? "file" : hasFolder(path) ? "folder" : "nothing").toBe(expected);
  });

  it("finds contents of files by any spelling of their paths", async () => {
    const asked = cases.find(({ name }) => name === "container-device-extensions");
    const respelled = JSON.stringify(asked).replace(
      /(?<="io.microsoft.container.wcow.deviceextensions":")[^"]*/,
      (paths) => paths.replaceAll("\\\\", "/"),
    );
    expect(respelled).not.toBe(JSON.stringify(asked));
    expect(shownOf(await answerTo(JSON.parse(respelled) as DocumentCase))).toEqual(
      shownOf(golden["container-device-extensions"]),
    );
  });

  it("keeps numbers beyond 2^53 whole", () => {
    expect(parseWhole("[9223372036854775807, 1.5, 1]")).toEqual([9223372036854775807n, 1.5, 1]);
  });
});
