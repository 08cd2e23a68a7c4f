import { expect, it } from "vitest";
import { readCrash, readEnumeration, readExit, readProperties } from "./system-documents.ts";

const RuntimeId = "AB112233-4455-6677-8899-aabbccddeeff";

it("reads the service's answers about other programs' VMs, and skips containers", () => {
  const other = {
    Id: "vm",
    SystemType: "VirtualMachine",
    RuntimeId,
    State: "Unknown",
    Name: "its name",
    Stopped: false,
  };
  const container = { Id: "container", SystemType: "Container", State: "Running" };
  expect(readEnumeration([container, other, null, "?", []])).toEqual([
    { Id: "vm", SystemType: "VirtualMachine", Owner: "", RuntimeId, State: "Unknown" },
  ]);
  expect(readEnumeration(null)).toEqual([]);
  const { Id: ID, SystemType: systemtype, ...rest } = other;
  expect(readEnumeration([{ ID, systemtype, owner: "its owner", ...rest }])).toEqual([
    { Id: "vm", SystemType: "VirtualMachine", Owner: "its owner", RuntimeId, State: "Unknown" },
  ]);
});

it("refuses documents of no VM", () => {
  expect(() => readProperties(null)).toThrow("properties.Id");
  expect(() => readProperties({ Id: "vm", SystemType: "Container" })).toThrow("properties.SystemType");
});

it("keeps the end of a crash log, and does not parse documents beyond their bounds", () => {
  const words = `${"x".repeat(100_000)}panic`;
  const kept = words.slice(-64 * 1024);
  expect(readCrash(JSON.stringify({ CrashLog: words }))).toEqual({ CrashLog: kept });
  expect(readCrash(words)).toEqual({ CrashLog: kept });
  const deep = `{"CrashLog":"a","Surplus":${"[".repeat(100)}${"]".repeat(100)}}`;
  expect(readCrash(deep)).toEqual({ CrashLog: deep });
  const wide = `{"Status":1,"ExitType":"ForcedExit","Surplus":[${"{},".repeat(70_000)}{}]}`;
  expect(readExit(wide)).toEqual({ Status: 0, ExitType: "Unknown" });
});
