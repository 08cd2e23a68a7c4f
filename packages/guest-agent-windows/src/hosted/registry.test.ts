import { describe, expect, it } from "vitest";
import { registryText } from "./registry.ts";

const Key = { Hive: "Software", Name: "Some\\Thing" } as const;

describe("values of a registry", () => {
  it.each([
    [{ Type: "String", StringValue: 'a "b" \\ é' }, '"Name"="a \\"b\\" \\\\ \\x00e9"'],
    [{ Type: "ExpandedString", StringValue: "%A%" }, '"Name"=hex(2):25,00,41,00,25,00,00,00'],
    [{ Type: "MultiString", StringValue: "a\0b" }, '"Name"=hex(7):61,00,00,00,62,00,00,00,00,00'],
    [{ Type: "DWord", DWordValue: 255 }, '"Name"=dword:000000ff'],
    [{ Type: "QWord", QWordValue: 2 ** 40 }, '"Name"=hex(b):00,00,00,00,00,01,00,00'],
    [{ Type: "Binary", BinaryValue: "AQI=" }, '"Name"=hex(3):01,02'],
    [{ Type: "CustomType", CustomType: 18, BinaryValue: "AQI=" }, '"Name"=hex(12):01,02'],
    [{ Type: "None" }, '"Name"=hex(0):'],
  ] as const)("are written as Wine reads %j", (value, line) => {
    const text = registryText({ AddValues: [{ Key, Name: "Name", ...value }] });
    expect(text.split("\n")).toEqual(["", "[Software\\\\Some\\\\Thing] 1", line, ""]);
  });

  it("are those of the set of controls in use, and of a key itself without a name", () => {
    const current = { Hive: "System", Name: "CurrentControlSet\\Control" } as const;
    const text = registryText({ AddValues: [{ Key: current, Type: "String", StringValue: "x" }] });
    expect(text).toBe('\n[System\\\\ControlSet001\\\\Control] 1\n@="x"\n');
  });

  it("are refused without a hive, and keys are not deleted", () => {
    expect(() => registryText({ AddValues: [{ Name: "Name", Type: "String" }] })).toThrow("AddValues[0].Key.Hive");
    expect(() => registryText({ DeleteKeys: [Key] })).toThrow("DeleteKeys");
  });
});
