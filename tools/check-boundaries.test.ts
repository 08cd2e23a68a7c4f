import { describe, expect, it } from "vitest";
import { rooms } from "./boundaries.ts";
import { checkAll, violation } from "./check-boundaries.ts";
import { importsOf } from "./import-scan.ts";

function why(folder: string, source: string, file = `${folder}/src/x.ts`): (string | undefined)[] {
  const room = rooms[folder];
  if (room === undefined) throw new Error(`no room ${folder}`);
  return importsOf(file, source).map((found) => violation(folder, room, file, found));
}

describe("room boundaries", () => {
  it("holds in the tree", () => {
    expect(checkAll()).toEqual([]);
  });

  it("refuses a host binding in a controller, however it is imported", () => {
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

  it("allows a sibling's types, not its code", () => {
    expect(why("packages/controller-pod", 'import type { A } from "@uvm-shim/controller-vm";')).toEqual([undefined]);
    expect(why("packages/controller-pod", 'import { A } from "@uvm-shim/controller-vm";')).toEqual([
      "only types may be taken from controller-vm",
    ]);
  });

  it("keeps I/O out of pure rooms, native code out of the shim and paths inside the package", () => {
    expect(why("packages/hcs-schema", 'import fs from "node:fs";')).toEqual(["this room does no I/O"]);
    expect(why("packages/shim", 'import koffi from "koffi";')).toEqual([
      "may use the libraries protobufjs, @grpc/grpc-js, smol-toml",
    ]);
    expect(why("packages/shim", 'import "../../ttrpc/src/index.ts";')).toEqual(["reaches out of packages/shim/src"]);
    expect(why("packages/shim", 'import { it } from "vitest";')).toHaveLength(1);
    expect(why("packages/shim", 'import { it } from "vitest";', "packages/shim/src/a.test.ts")).toEqual([undefined]);
  });

  it("keeps the start of programs in one room, whatever the module is called", () => {
    for (const name of ["node:child_process", "child_process"]) {
      const source = `import { spawn } from "${name}";`;
      expect(why("packages/shim", source)).toEqual(["only child-processes starts programs"]);
      expect(why("packages/child-processes", source)).toEqual([undefined]);
      expect(why("packages/shim", source, "packages/shim/src/a.test.ts")).toEqual([undefined]);
      expect(why("packages/shim", `import type { ChildProcess } from "${name}";`)).toEqual([undefined]);
    }
  });

  it("refuses a dynamic import that hides its module", () => {
    expect(() => importsOf("x.ts", "await import(name);")).toThrow("does not name its module literally");
  });
});
