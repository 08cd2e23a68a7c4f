import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../workspace.ts";
import { jsonReaders, keepers, looseReadings } from "./outside-texts.ts";

const loose = (source: string, file = "packages/guest-lcow/src/x.ts"): readonly string[] =>
  looseReadings(file, source).map(({ line, why }) => `${line}: ${why.split(":")[0]}`);

describe("texts from outside", () => {
  it.each([
    "const told = JSON.parse(properties);",
    'const told = JSON["parse"](properties);',
    "const { parse } = JSON;",
    "properties.map(JSON.parse);",
    "const json = JSON;",
  ])("are not parsed without bounds: %s", (source) => {
    expect(loose(`\n${source}`)).toEqual(["2: JSON.parse"]);
  });

  it("may be parsed freely where JSON is written, on the guest's side, in tests and where a comment allows it", () => {
    expect(loose("JSON.stringify(request);")).toEqual([]);
    expect(loose("interface JSON { rawJSON(text: string): unknown }\nJSON.rawJSON(number);")).toEqual([]);
    const parse = "JSON.parse(text);";
    for (const file of [
      "packages/guest-agent/src/x.ts",
      "packages/shim/src/x.test.ts",
      "packages/shim/src/specification-json.ts",
    ]) {
      expect(loose(parse, file)).toEqual([]);
    }
    expect(loose(parse, "apps/shim-lcow/src/x.ts")).toEqual(["1: JSON.parse"]);
  });

  it("are not read by checks that keep unknown fields, or are declared to copy", () => {
    const file = "packages/hcs-schema/src/guest/cgroup-metrics.ts";
    expect(loose('import { openObject, text } from "./check.ts";', file)).toHaveLength(1);
    expect(loose('import { openObject as answerObject } from "./check.ts";', file)).toHaveLength(1);
    expect(loose('import { answerObject } from "./check.ts";', file)).toEqual([]);
    expect(loose("const check = open as CopyingCheck<Told>;", file)).toHaveLength(1);
    expect(loose("const check: CopyingCheck<Told> = made;", file)).toEqual([]);
    expect(loose("FromGuest.parse(text, bounds, name).read(check as never);")).toHaveLength(1);
    expect(loose("FromGuest.parse(text, bounds, name).read(check);")).toEqual([]);
  });

  it("have no needless exceptions", () => {
    for (const file of [...Object.keys(jsonReaders), ...keepers]) {
      expect(existsSync(join(root, file)), file).toBe(true);
      const source = readFileSync(join(root, file), "utf8");
      expect(source, file).toMatch(file in jsonReaders ? /JSON\.parse\(/ : /\bopenObject\b/);
    }
  });
});
