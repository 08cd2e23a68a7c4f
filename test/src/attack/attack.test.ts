import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readArguments } from "./arguments.ts";
import { planChaos } from "./chaos/plan.ts";
import { Cases } from "./fuzz/cases.ts";
import { judge } from "./fuzz/judge.ts";
import { jsonSubject, textSubject } from "./fuzz/subject.ts";
import { subjects } from "./fuzz/subjects/index.ts";
import { problemOfError } from "./harness/errors.ts";
import { bytesInWorstMinute, ShimLogReader } from "./harness/shim-log.ts";
import { listAll } from "./list.ts";
import { modes } from "./modes/index.ts";
import { chosen } from "./random.ts";

describe("the arguments of the attack", () => {
  it("are all of it once with the seed 1 when there are none", () => {
    expect(readArguments([])).toMatchObject({ seed: 1, extent: { kind: "whole" }, lists: false, feed: undefined });
  });

  it("refuse invalid values, with name and value", () => {
    expect(() => readArguments(["--seed", "0"])).toThrow('--seed: expected a number above 0 up to 4294967295, got "0"');
    expect(() => readArguments(["--short", "--long"])).toThrow("--short and --long: expected one of them");
    expect(() => readArguments(["--feed", "flags"])).toThrow("--feed and --input: expected both or neither");
  });
});

describe("what there is to attack", () => {
  it("has a name of its own each", () => {
    const names = listAll().map((line) => line.slice(0, line.indexOf(":")));
    expect(new Set(names).size).toBe(names.length);
    expect(modes.length).toBeGreaterThanOrEqual(55);
    expect(subjects.length).toBeGreaterThanOrEqual(20);
  });

  it("is chosen by the seed alone", () => {
    const some = chosen(modes, 5, 3);
    expect(chosen(modes, 5, 3)).toEqual(some);
    expect(chosen(modes, 5, 4)).not.toEqual(some);
    expect(chosen(modes, undefined, 3)).toBe(modes);
  });

  it("is killed at the same point for the same seed", () => {
    expect(planChaos(17)).toEqual(planChaos(17));
    const victims = new Set(Array.from({ length: 60 }, (_, seed) => planChaos(seed).victim));
    expect([...victims].sort()).toEqual(["emulated host", "guest agent", "shim"]);
  });
});

describe("the cases of a decoder", () => {
  it("are the same for the same seed and number, and others for others", () => {
    const subject = jsonSubject("any", [{ a: { b: [1, 2] } }], (value) => value);
    const texts = (seed: number) => Array.from({ length: 50 }, (_, number) => new Cases(subject, seed).make(number));
    expect(texts(1)).toEqual(texts(1));
    expect(texts(2)).not.toEqual(texts(1));
    expect(new Set(texts(1).map(String)).size).toBeGreaterThan(25);
  });

  it("are well when every subject takes its own seeds", async () => {
    for (const subject of subjects) {
      for (const seed of subject.seeds) {
        const input = seed instanceof Uint8Array ? Buffer.from(seed) : Buffer.from(JSON.stringify(seed));
        expect([subject.name, await judge(subject, input)]).toEqual([subject.name, undefined]);
      }
    }
  });
});

describe("judge", () => {
  it("takes a refusal, and no other error", async () => {
    const decode = (text: string): void => {
      if (text === "refused") throw Object.assign(new Error("no"), { name: "Refused" });
      if (text === "wrong") throw new TypeError("not a function");
    };
    const subject = textSubject("it", [], decode, ["Refused"]);
    expect(await judge(subject, Buffer.from("refused"))).toBeUndefined();
    expect(await judge(subject, Buffer.from("wrong"))).toContain("threw TypeError: not a function");
  });

  it("notices what every object has from now on", async () => {
    const pollute = (): void => {
      Object.defineProperty(Object.prototype, "polluted", { value: 1, configurable: true });
    };
    const subject = textSubject("it", [], pollute);
    try {
      expect(await judge(subject, Buffer.from(""))).toBe("polluted Object.prototype");
    } finally {
      Reflect.deleteProperty(Object.prototype, "polluted");
    }
  });
});

describe("what a hostile guest leads to", () => {
  let folder: string;
  let reader: ShimLogReader;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "attack-log-"));
    reader = ShimLogReader.open(join(folder, "log"), { id: "pod", namespace: "ns" });
  });
  afterEach(() => {
    reader.close();
    rmSync(folder, { recursive: true });
  });

  const start = 'time="2026-01-01T00:00:00.000Z" level=info msg=up namespace=ns id=pod';

  async function problemsOf(text: string): Promise<readonly string[]> {
    writeFileSync(join(folder, "log"), text);
    await expect.poll(() => reader.bytes).toBe(Buffer.byteLength(text));
    return reader.problems;
  }

  it("is judged by what the log comes to in a minute, however short the case was", () => {
    const seconds = (count: number, bytes: number) =>
      Array.from({ length: count }, (_, second) => ({ at: second * 1_000, bytes }));
    expect(bytesInWorstMinute([], 3_000)).toBe(0);
    // All at once, as a guest may that has been quiet.
    expect(bytesInWorstMinute([{ at: 100, bytes: 300_000 }], 3_000)).toBe(300_000);
    // What is more would go on.
    expect(bytesInWorstMinute(seconds(3, 150_000), 3_000)).toBeGreaterThan(1_000_000);
    expect(bytesInWorstMinute(seconds(3, 1_000_000), 3_000)).toBeGreaterThan(50_000_000);
  });

  it("is judged by the worst of many minutes", () => {
    const burst = Array.from({ length: 30 }, (_, second) => ({ at: 100_000 + second * 1_000, bytes: 40_000 }));
    expect(bytesInWorstMinute([{ at: 0, bytes: 900_000 }, ...burst], 180_000)).toBe(1_200_000);
  });

  it("is well when lines of the log are lines", async () => {
    expect(await problemsOf(`${start}\n${start} error="a \\"b\\"\\n" guest="level=error msg=forged"\n`)).toEqual([]);
  });

  it.each([
    ["a line's end in a field", `${start} x=a\nlevel=error msg=forged\n`, "is none"],
    ["an escape", `${start} x="\u001b[2J"\n`, "no text"],
    ["a separator of lines", `${start} x="\u2028"\n`, "no text"],
    ["another id", `${start} id=other\n`, "id of a line of the log is not the shim's"],
    ["a second message", `${start} msg=forged\n`, "was forged"],
    ["a key that is none", `${start} a b=c\n`, "is none"],
  ])("is a problem when the log has %s", async (_what, text, problem) => {
    expect(await problemsOf(text)).toEqual([expect.stringContaining(problem)]);
  });

  it("is a problem when an error's text is long or no text", () => {
    expect(problemOfError("Stats", new Error("short"))).toBeUndefined();
    expect(problemOfError("Stats", new Error("x".repeat(9_000)))).toContain("9000 characters");
    expect(problemOfError("Stats", new Error("a\nb"))).toContain("no text");
  });
});
