import { readFileSync } from "node:fs";
import { diagram } from "@uvm-shim/lifecycle";
import { diagramsIn } from "@uvm-shim/lifecycle/testing";
import { expect, it } from "vitest";
import { containerTable } from "./lifecycle.ts";

it("is drawn in the README as it is", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  expect(diagramsIn(readme)).toEqual([diagram(containerTable)]);
});
