import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Bundle, bundleProgram, splitProgram } from "./bundle.ts";
import { findProgram, type System } from "./programs.ts";
import { root } from "./workspace.ts";

/** How much larger a shim may be than the other: what each adds for its guests is a small part of what both have. */
const largestRatio = 1.1;

async function bytesOf(name: string, system: System): Promise<number> {
  return (await bundleProgram(findProgram(name), system)).code.length;
}

async function inputsOf(name: string, system: System): Promise<readonly string[]> {
  const { metafile } = await bundleProgram(findProgram(name), system);
  const output = Object.values(metafile.outputs)[0];
  // Only what contributes bytes counts: a module that tree shaking emptied is not in the bundle.
  return Object.entries(output?.inputs ?? {}).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
}

const kibibytes = (bytes: number): number => Math.round(bytes / 1024);

const from = (inputs: readonly string[], folder: string): readonly string[] =>
  inputs.filter((path) => path.startsWith(`${folder}/`));

const linuxOnly = [
  "packages/controller-container",
  "packages/controller-plan9",
  "packages/guest-lcow",
  "packages/sandbox-lcow",
];
const windowsOnly = [
  "packages/controller-container-wcow",
  "packages/controller-vsmb",
  "packages/guest-wcow",
  "packages/sandbox-wcow",
];
const neverShipped = [
  "packages/host-emulator",
  "packages/host-protocol/src/guest",
  "packages/guest-agent",
  "packages/linux-calls",
  "packages/test-support",
  "test",
];

it("a shim on Linux takes the calls that Node lacks from a bundle of their own, which has nothing else", async () => {
  const own = (await inputsOf("linux-calls", "linux")).filter((path) => path.startsWith("packages/"));
  const modules = ["error.ts", "libc.ts", "shim-part.ts", "splice.ts"];
  expect(own.toSorted()).toEqual(modules.map((module) => `packages/linux-calls/src/${module}`));
});

describe.each(["linux", "win32"] as const)("bundles for %s", (system) => {
  it("contain what only one kind of guest needs in one shim only", async () => {
    const bundles = { LCOW: await inputsOf("shim-lcow", system), WCOW: await inputsOf("shim-wcow", system) };
    const check = (folders: readonly string[], own: keyof typeof bundles, other: keyof typeof bundles): void => {
      for (const folder of folders) {
        expect(from(bundles[own], folder), `${folder} in ${own}`).not.toEqual([]);
        expect(from(bundles[other], folder), `${folder} in ${other}`).toEqual([]);
      }
    };
    check(linuxOnly, "LCOW", "WCOW");
    check(windowsOnly, "WCOW", "LCOW");
    const filesCalled = (name: string, bundle: readonly string[]) =>
      bundle.filter((path) => path.startsWith("packages/controller-") && path.endsWith(`/${name}`));
    expect(filesCalled("lcow.ts", bundles.LCOW)).not.toEqual([]);
    expect(filesCalled("wcow.ts", bundles.WCOW)).not.toEqual([]);
    expect([filesCalled("wcow.ts", bundles.LCOW), filesCalled("lcow.ts", bundles.WCOW)]).toEqual([[], []]);
  });

  it("are of about one size for both kinds of guest", async () => {
    const [lcow, wcow] = [await bytesOf("shim-lcow", system), await bytesOf("shim-wcow", system)];
    process.stdout.write(`bundle sizes on ${system}: LCOW ${kibibytes(lcow)} KiB, WCOW ${kibibytes(wcow)} KiB\n`);
    expect(wcow).toBeLessThanOrEqual(lcow * largestRatio);
    expect(lcow).toBeLessThanOrEqual(wcow * largestRatio);
  });

  it("contain no part of the emulated host or guest agent in a shim", async () => {
    for (const name of ["shim-lcow", "shim-wcow"]) {
      const inputs = await inputsOf(name, system);
      for (const folder of neverShipped) expect(from(inputs, folder), `${folder} in ${name}`).toEqual([]);
    }
  });

  it.each([
    ["telemetry", /^packages\/telemetry\/|@opentelemetry/, "@opentelemetry"],
    ["grpc-server", /^packages\/grpc-server\/|@grpc/, "@grpc/grpc-js"],
  ])("contain nothing of %s, which has a bundle of its own", async (part, isOurs, library) => {
    for (const name of ["shim-lcow", "shim-wcow"]) {
      expect(
        (await inputsOf(name, system)).filter((path) => isOurs.test(path)),
        name,
      ).toEqual([]);
    }
    const own = await inputsOf(part, system);
    expect(own.filter((path) => path.startsWith("packages/") && !path.startsWith(`packages/${part}/`))).toEqual([]);
    expect(own.some((path) => path.includes(library))).toBe(true);
  });

  it("contain only those schema references that a VM's document needs", async () => {
    const inputs = await inputsOf("shim-lcow", system);
    const tables = from(inputs, "packages/hcs-schema/src").filter((path) =>
      /^export const \w+Types = \{/m.test(readFileSync(join(root, path), "utf8")),
    );
    expect(tables.toSorted()).toEqual(
      ["devices", "machine", "migration", "virtual-machine"].map(
        (area) => `packages/hcs-schema/src/document/${area}.ts`,
      ),
    );
  });

  it("contain no reader of .proto files, and messages as lines of fields", async () => {
    const inputs = await inputsOf("shim-lcow", system);
    expect(inputs.filter((path) => /protobufjs\/src\/(parse|tokenize|root|type)\.js$/.test(path))).toEqual([]);
    expect(inputs).toContain("packages/protobuf/src/message.ts");
  });

  it("fail to build, with a clear message, when a shim has no flavour", async () => {
    for (const name of ["shim-lcow", "shim-wcow"]) {
      const { flavour: _, ...withoutFlavour } = findProgram(name);
      await expect(bundleProgram(withoutFlavour, system)).rejects.toThrow(
        /cannot be bundled without a flavour.*UVM_SHIM_FLAVOUR/,
      );
    }
  });
});

/** What `start` and an orderly `delete` do without. */
const onlyServing = ["packages/controller-", "packages/ttrpc/", "packages/gcs-bridge/", "packages/shim/src/services/"];
/** Each start of a pod reads and compiles it: half as much again would be one more millisecond. */
const largestFirstFile = 130_000;

describe.each(["linux", "win32"] as const)("the two files of a shim's bundle for %s", (system) => {
  it.each(["shim-lcow", "shim-wcow"])(
    "%s: what only serves is in the second, and together they are the program",
    async (name) => {
      const { first, serving } = await splitProgram(findProgram(name), system);
      const has = ({ metafile }: Bundle): readonly string[] =>
        Object.entries(Object.values(metafile.outputs)[0]?.inputs ?? {}).flatMap(([file, { bytesInOutput }]) =>
          bytesInOutput > 0 ? [file] : [],
        );
      for (const folder of onlyServing) {
        expect(has(first).filter((file) => file.startsWith(folder))).toEqual([]);
        expect(has(serving).filter((file) => file.startsWith(folder))).not.toEqual([]);
      }
      expect(first.code.length).toBeLessThan(largestFirstFile);
      const ours = (files: readonly string[]): readonly string[] =>
        [...new Set(files)].filter((file) => file.startsWith("packages/")).toSorted();
      expect(ours([...has(first), ...has(serving)])).toEqual(ours(await inputsOf(name, system)));
    },
  );
});

describe.each(["linux", "win32"] as const)("the diagnostic tool for %s", (system) => {
  it("has of the shim only its protocol and the forms of its files, and of the host nothing", async () => {
    const ours = (await inputsOf("uvm-diag", system)).filter((path) => path.startsWith("packages/"));
    const own = ours.filter(
      (path) => !/^packages\/(child-processes|command-line|lifecycle|protobuf|ttrpc)\//.test(path),
    );
    expect(own.toSorted()).toEqual([
      "packages/shim/src/generated/messages.js",
      "packages/shim/src/program/state-file.ts",
      "packages/shim/src/record/lines.ts",
    ]);
  });
});

describe("the emulated host's protocol in a shim", () => {
  const folder = "packages/host-protocol";

  it("contains only what the driver on Linux needs", async () => {
    const needed = [
      "calls",
      "guest-service-calls",
      "host-process",
      "host-settings",
      "hvsockets",
      "index",
      "json-lines",
      "network-calls",
    ];
    const lcow = await inputsOf("shim-lcow", "linux");
    const expected = needed.map((name) => `${folder}/src/${name}.ts`);
    expect(from(lcow, folder).toSorted()).toEqual(expected);
    expect(from(await inputsOf("shim-wcow", "linux"), folder).toSorted()).toEqual(expected);
  });

  it("is absent on Windows", async () => {
    for (const name of ["shim-lcow", "shim-wcow"])
      expect(from(await inputsOf(name, "win32"), folder), name).toEqual([]);
  });
});

describe("the host's driver in a bundle", () => {
  const drivers = { linux: "packages/hcs-bindings/src/emulator", win32: "packages/hcs-bindings/src/windows" };

  it("is the one for its system, without the other", async () => {
    const [linux, windows] = [await inputsOf("shim-lcow", "linux"), await inputsOf("shim-lcow", "win32")];
    expect(from(linux, drivers.linux)).not.toEqual([]);
    expect(from(linux, drivers.win32)).toEqual([]);
    expect(from(windows, drivers.win32)).not.toEqual([]);
    expect(from(windows, drivers.linux)).toEqual([]);
  });

  it("includes only the addon of koffi", async () => {
    for (const system of ["linux", "win32"] as const) {
      const inputs = await inputsOf("shim-lcow", system);
      expect(inputs.filter((path) => path.includes("/koffi/"))).toEqual([]);
    }
  });
});
