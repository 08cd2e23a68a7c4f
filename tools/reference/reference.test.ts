import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { optionKinds } from "../../packages/shim/src/program/runtime-options.ts";
import { manuals } from "../manual/manuals.ts";
import { root, workspaceFiles } from "../workspace.ts";
import { annotationGroups } from "./annotation-texts.ts";
import { prose, table, wrap } from "./markdown.ts";
import { optionTexts } from "./option-texts.ts";
import { internalVariables, referenceFile, renderReference } from "./render.ts";
import { annotationRowsOfAll } from "./rows.ts";

it("the reference is what the tables say", () => {
  expect(readFileSync(join(root, referenceFile), "utf8")).toBe(renderReference());
});

it("every annotation has one text, and every text an annotation", () => {
  const texts = annotationGroups.flatMap((group) => Object.keys(group.texts));
  expect(texts.toSorted()).toEqual([...annotationRowsOfAll().keys()].toSorted());
});

it("annotations are told with what their readers accept, for which guests, and on what", () => {
  const rows = annotationRowsOfAll();
  expect(rows.get("io.microsoft.virtualmachine.computetopology.processor.limit")).toMatchObject({
    readers: ["Linux", "Windows"].map((guests) => ({ guests, of: "VM", accepted: "a whole number from 0 to 100000" })),
  });
  expect(rows.get("io.microsoft.virtualmachine.kerneldrivers")).toMatchObject({
    readers: [{ guests: "Windows", of: "container" }],
    refused: ["Linux"],
  });
  expect(rows.get("io.microsoft.container.memory.sizeinmb")).toMatchObject({ withoutEffect: ["Linux"] });
  expect(rows.get("io.microsoft.lcow.rlimitcore")).toMatchObject({
    readers: [{ accepted: "<soft>;<hard> in bytes, with soft not above hard" }],
  });
});

it("every runtime option has a text", () => {
  expect(Object.keys(optionTexts)).toEqual(Object.keys(optionKinds));
});

it("every variable that a source of the programs names is documented, or is internal", () => {
  const documented = manuals.flatMap(({ environment = [] }) => environment.flatMap(({ name }) => name.split(", ")));
  const builtIn = ["UVM_SHIM_FLAVOUR", "UVM_SHIM_VERSION", "UVM_SHIM_COMMIT"];
  const known = new Set([...documented, ...internalVariables, ...builtIn]);
  const sources = workspaceFiles().filter(
    (file) =>
      /^(packages|apps)\/[^/]+\/src\/.*\.ts$/.test(file) &&
      !/\.test\.ts$|\/testing\/|^packages\/test-support/.test(file),
  );
  const named = new Set(
    sources.flatMap((file) => readFileSync(join(root, file), "utf8").match(/UVM_SHIM_[A-Z_]+/g) ?? []),
  );
  expect([...named].filter((name) => !known.has(name))).toEqual([]);
});

it("tables are aligned, and what divides cells is escaped", () => {
  expect(table(["a", "long"], [["start|delete", "x"]])).toBe(
    ["| a             | long |", "| ------------- | ---- |", "| start\\|delete | x    |"].join("\n"),
  );
  expect(prose("<pod> and `<pod>`")).toBe("\\<pod\\> and `<pod>`");
  expect(wrap(`${"a".repeat(118)} b c`)).toBe(`${"a".repeat(118)} b\nc`);
});
