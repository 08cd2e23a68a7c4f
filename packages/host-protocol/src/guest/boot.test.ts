import { SchemaError } from "@uvm-shim/hcs-schema";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bootVariable, readBootParameters } from "./boot.ts";

const parameters = { vsockDirectory: "/vm/a", image: "/image", hostname: "uvm-a", memoryMb: 256, processors: 2 };

describe("boot parameters", () => {
  it("are read, with an empty kernel command line by default", () => {
    const read = (given: object) => readBootParameters({ [bootVariable]: JSON.stringify(given) });
    expect(read(parameters)).toEqual({ ...parameters, kernelCommandLine: "" });
    expect(read({ ...parameters, kernelCommandLine: "quiet" })).toMatchObject({ kernelCommandLine: "quiet" });
  });

  it("are refused with the names of the variable and the field", () => {
    const refused = (text: string | undefined) => () => readBootParameters({ [bootVariable]: text });
    expect(refused(undefined)).toThrow("UVM_SHIM_GUEST_BOOT: expected JSON");
    expect(refused("[]")).toThrow("UVM_SHIM_GUEST_BOOT: expected an object, got a list");
    expect(refused(JSON.stringify({ ...parameters, image: 7 }))).toThrow(
      "UVM_SHIM_GUEST_BOOT.image: expected a string",
    );
    expect(refused(JSON.stringify({ ...parameters, processors: 0 }))).toThrow("UVM_SHIM_GUEST_BOOT.processors");
  });

  it("are read or refused, whatever the variable contains", () => {
    const member = fc.jsonValue({ maxDepth: 3 });
    const object = fc.dictionary(fc.constantFrom(...Object.keys(parameters), "kernelCommandLine", "other"), member);
    fc.assert(
      fc.property(fc.oneof(object, member), (value) => {
        try {
          readBootParameters({ [bootVariable]: JSON.stringify(value) });
        } catch (error) {
          expect(error).toBeInstanceOf(SchemaError);
        }
      }),
    );
  });
});
