import { describe, expect, it } from "vitest";
import { bundleProgram } from "./bundle.ts";
import { findProgram } from "./programs.ts";

async function inputsOf(name: string): Promise<readonly string[]> {
  const { metafile } = await bundleProgram(findProgram(name));
  const output = Object.values(metafile.outputs)[0];
  // Only what contributes bytes counts: a module that tree shaking emptied is not in the bundle.
  return Object.entries(output?.inputs ?? {}).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
}

const from = (inputs: readonly string[], folder: string): readonly string[] =>
  inputs.filter((path) => path.startsWith(`${folder}/`));

const linuxOnly = ["packages/controller-plan9", "packages/guest-lcow", "packages/sandbox-lcow"];
const neverShipped = ["packages/host-emulator", "packages/guest-agent", "packages/linux-calls", "test"];

describe("bundles", () => {
  it("hold controller-plan9 and guest-lcow in the LCOW shim only", async () => {
    const lcow = await inputsOf("shim-lcow");
    const wcow = await inputsOf("shim-wcow");
    for (const folder of linuxOnly) {
      expect(from(lcow, folder), `${folder} in LCOW`).not.toEqual([]);
      expect(from(wcow, folder), `${folder} in WCOW`).toEqual([]);
    }
  });

  it("hold no part of the emulator, of the guest's agent or of koffi in a shim", async () => {
    for (const name of ["shim-lcow", "shim-wcow"]) {
      const inputs = await inputsOf(name);
      for (const folder of neverShipped) expect(from(inputs, folder), `${folder} in ${name}`).toEqual([]);
      expect(inputs.filter((path) => path.includes("koffi"))).toEqual([]);
    }
  });

  it("hold no more of the schema references than a virtual machine's document", async () => {
    const inputs = await inputsOf("shim-lcow");
    const types = from(inputs, "packages/hcs-schema/src").filter((path) => /document-(?!checks|schema)/.test(path));
    expect(types.toSorted()).toEqual(
      ["devices", "machine", "migration", "virtual-machine"].map(
        (area) => `packages/hcs-schema/src/document-${area}.ts`,
      ),
    );
  });

  it("parse no .proto at start-up", async () => {
    const inputs = await inputsOf("shim-lcow");
    expect(inputs.filter((path) => /protobufjs\/src\/(parse|tokenize|root|type)\.js$/.test(path))).toEqual([]);
  });

  it("fail to build, with a sentence, when a shim is given no flavour", async () => {
    for (const name of ["shim-lcow", "shim-wcow"]) {
      const { flavour: _, ...withoutFlavour } = findProgram(name);
      await expect(bundleProgram(withoutFlavour)).rejects.toThrow(
        /cannot be bundled without a flavour.*UVM_SHIM_FLAVOUR/,
      );
    }
  });
});
