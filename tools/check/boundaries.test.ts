import { itWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it } from "vitest";
import { packageRules } from "../boundaries.ts";
import { manifests, workspaceFiles } from "../workspace.ts";
import { boundaryProblems, unusedGrants, violation } from "./boundaries.ts";
import { importsOf } from "./import-scan.ts";

function why(folder: string, source: string, file = `${folder}/src/x.ts`): (string | undefined)[] {
  const rules = packageRules[folder];
  if (rules === undefined) throw new Error(`tools/boundaries.ts has no row ${folder}`);
  return importsOf(file, source).map((found) => violation(folder, rules, file, found));
}

describe("boundaries between packages", () => {
  itWith("boundaries hold in the tree", "git")("hold in the tree, with no unused grant", () => {
    expect(boundaryProblems(manifests(), workspaceFiles())).toEqual([]);
  });

  it("reject a host binding in a controller, however it is imported", () => {
    for (const source of [
      'import { x } from "@uvm-shim/hcs-bindings";',
      'import type { x } from "@uvm-shim/hcs-bindings";',
      'export { x } from "@uvm-shim/hcs-bindings";',
      'export * from "@uvm-shim/hcs-bindings";',
      'await import("@uvm-shim/hcs-bindings");',
    ]) {
      expect(why("packages/controller-scsi", source), source).toEqual(["may use hcs-schema, lifecycle"]);
    }
  });

  it("allow a sibling's types, not its code", () => {
    expect(why("packages/controller-pod", 'import type { A } from "@uvm-shim/controller-vm";')).toEqual([undefined]);
    expect(why("packages/controller-pod", 'import { A } from "@uvm-shim/controller-vm";')).toEqual([
      "only types may be taken from controller-vm",
    ]);
  });

  it("keep I/O out of pure packages, native code out of the shim and paths inside the package", () => {
    expect(why("packages/hcs-schema", 'import fs from "node:fs";')).toEqual(["this package does no I/O"]);
    expect(why("packages/lifecycle", 'import { AsyncLocalStorage } from "node:async_hooks";')).toEqual([undefined]);
    expect(why("packages/shim", 'import koffi from "koffi";')).toEqual(["may use the libraries smol-toml"]);
    expect(why("packages/shim", 'import "../../ttrpc/src/index.ts";')).toEqual(["reaches out of packages/shim/src"]);
    expect(why("packages/shim", 'import { it } from "vitest";')).toHaveLength(1);
    expect(why("packages/shim", 'import { it } from "vitest";', "packages/shim/src/a.test.ts")).toEqual([undefined]);
  });

  it("allow only one package to start programs, whatever the module is called", () => {
    for (const name of ["node:child_process", "child_process"]) {
      const source = `import { spawn } from "${name}";`;
      expect(why("packages/shim", source)).toEqual(["only child-processes starts programs"]);
      expect(why("packages/child-processes", source)).toEqual([undefined]);
      expect(why("packages/shim", source, "packages/shim/src/a.test.ts")).toEqual([undefined]);
      expect(why("packages/shim", `import type { ChildProcess } from "${name}";`)).toEqual([undefined]);
    }
  });

  it("reject a dynamic import without a literal module name", () => {
    expect(() => importsOf("x.ts", "await import(name);")).toThrow("does not name its module literally");
  });

  it("grant test packages to tests only, and tools to none", () => {
    const test = "packages/shim/src/a.test.ts";
    const source = 'import { itWith } from "@uvm-shim/test-support/machine-needs";';
    expect(why("packages/shim", source)).toEqual(["may use child-processes, command-line, lifecycle, protobuf, ttrpc"]);
    expect(why("packages/shim", source, test)).toEqual([undefined]);
    expect(why("packages/shim", 'import { root } from "../../../tools/workspace.ts";', test)).toEqual([
      "reaches out of packages: what tests share is in test-support",
    ]);
  });

  it("grant tests what the package itself must not import", () => {
    const source = 'import { ScsiController } from "@uvm-shim/controller-scsi";';
    expect(why("packages/controller-vm", source)).toEqual(["may use hcs-schema, lifecycle"]);
    expect(why("packages/controller-vm", source, "packages/controller-vm/src/a.test.ts")).toEqual([undefined]);
  });
});

describe("unused grants", () => {
  const folder = "packages/controller-vm";
  const unused = (rules: Parameters<typeof unusedGrants>[1], source: string, file = `${folder}/src/x.ts`) =>
    unusedGrants(folder, rules, new Map([[file, importsOf(file, source)]]));

  it("are found among packages, types, tests and libraries", () => {
    const rules = { uses: ["lifecycle"], types: ["hcs-schema"], tests: ["controller-scsi"], libraries: ["koffi"] };
    expect(unused(rules, 'import { readFile } from "node:fs";')).toEqual([
      "uses lifecycle: nothing imports it",
      "types of hcs-schema: nothing imports them",
      "tests use controller-scsi: none imports it",
      "library koffi: nothing imports it",
    ]);
  });

  it("include grants that are wider than the imports", () => {
    const rules = { uses: ["lifecycle"] };
    expect(unused(rules, 'import type { Step } from "@uvm-shim/lifecycle";')).toEqual([
      "uses lifecycle: only types are imported from it, which `types` grants",
    ]);
    const test = `${folder}/src/x.test.ts`;
    expect(unused(rules, 'import { Lifecycle } from "@uvm-shim/lifecycle/testing";', test)).toEqual([
      "uses lifecycle: only tests import it, which `tests` grants",
    ]);
    expect(unused(rules, 'export { Lifecycle } from "@uvm-shim/lifecycle";')).toEqual([]);
  });
});
