import { describe, expect, it } from "vitest";
import { Fields } from "./index.ts";

describe("fields of a message", () => {
  it("are read by type", () => {
    const fields = new Fields({ text: "a", flag: true, number: 7, list: [{ n: 1 }], inner: { text: "b" }, none: null });
    expect(fields.text("text")).toBe("a");
    expect(fields.flag("flag")).toBe(true);
    expect(fields.flag("absent")).toBe(false);
    expect(fields.unsigned32("number")).toBe(7);
    expect(fields.list("list", (item, path) => new Fields(item, path).unsigned32("n"))).toEqual([1]);
    expect(fields.list("none", () => 1)).toEqual([]);
    expect(fields.object("inner").text("text")).toBe("b");
    expect(fields.optionalText("none")).toBeUndefined();
    expect(fields.optionalObject("absent").has("x")).toBe(false);
  });

  it.each<[string, (fields: Fields) => unknown, string]>([
    ["a number for a text", (f) => f.text("number"), "number must be a string, got 7"],
    ["an absent text", (f) => f.text("absent"), "absent must be a string, got nothing"],
    ["a property of the prototype", (f) => f.text("toString"), "toString must be a string, got nothing"],
    ["a text for a flag", (f) => f.flag("text"), "text must be true or false, got a string"],
    ["a fraction", (f) => f.unsigned32("half"), "half must be an integer from 0 to 4294967295, got 0.5"],
    ["too great a number", (f) => f.integer("number", 0, 6), "number must be an integer from 0 to 6, got 7"],
    ["an object for a list", (f) => f.list("inner", () => 1), "inner must be a list, got an object"],
    ["a list for an object", (f) => f.object("list"), "list must be a JSON object, got a list"],
    ["a wrong field inside", (f) => f.object("inner").text("text"), "inner.text must be a string, got 1"],
    ["a wrong item", (f) => f.list("list", (item, path) => new Fields(item, path)), "list[1] must be a JSON object"],
  ])("refuse %s", (_name, read, message) => {
    const fields = new Fields({ text: "a", number: 7, half: 0.5, list: [{}, 2], inner: { text: 1 } });
    expect(() => read(fields)).toThrow(message);
  });

  it.each([
    ["lower", { text: "a", innerobject: { number: 7 } }],
    ["upper", { TEXT: "a", INNEROBJECT: { NUMBER: 7 } }],
    ["mixed", { tEXT: "a", iNnerobjecT: { nUMBER: 7 } }],
  ])("have names in any case: %s", (_case, message) => {
    const fields = new Fields(message);
    expect(fields.text("Text")).toBe("a");
    expect(fields.has("InnerObject")).toBe(true);
    expect(fields.object("InnerObject").unsigned32("Number")).toBe(7);
    expect(() => fields.object("InnerObject").text("Number")).toThrow("InnerObject.Number must be a string, got 7");
  });

  it("that differ only in case resolve to the last one that is not null", () => {
    expect(new Fields(JSON.parse('{"Id":"first","ID":"last","id":null}')).text("Id")).toBe("last");
    expect(new Fields(JSON.parse('{"__proto__":{"text":"a"}}')).has("text")).toBe(false);
  });

  it("with data as names keep their case", () => {
    const fields = new Fields({ ENVIRONMENT: { Path: "a", PATH: "b" }, text: "c", list: [] });
    const text = (item: unknown, path: string): string => `${path}=${item}`;
    expect(fields.record("Environment", text)).toEqual({ Path: "Environment.Path=a", PATH: "Environment.PATH=b" });
    expect(fields.record("absent", text)).toEqual({});
    for (const name of ["text", "list"]) {
      expect(() => fields.record(name, text)).toThrow(`${name} must be a JSON object, got a`);
    }
  });

  it("are read from JSON in a string", () => {
    expect(Fields.parse('{"a":"b"}', "Query").text("a")).toBe("b");
    expect(() => Fields.parse("{", "Query")).toThrow("Query must be a JSON object in a string");
    expect(() => Fields.parse("[]", "Query")).toThrow("Query must be a JSON object, got a list");
  });
});
