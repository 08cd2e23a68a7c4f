import { readFileSync } from "node:fs";
import { diagram } from "@uvm-shim/lifecycle";
import { diagramsIn } from "@uvm-shim/lifecycle/testing";
import { expect, it } from "vitest";
import { deviceTable } from "./lifecycle.ts";

it("matches the diagram in the README", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  expect(diagramsIn(readme)).toEqual([diagram(deviceTable)]);
});
