import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build, type Metafile } from "esbuild";
import { commitVariable, sourceCommit } from "./commit.ts";
import { bundleName, type Program, programFolder, programVersion, type System } from "./programs.ts";
import { host, type Target } from "./targets.ts";
import { root } from "./workspace.ts";

export interface Bundle {
  readonly code: Uint8Array;
  readonly metafile: Metafile;
}

const fromLinuxCalls = createRequire(join(root, "packages/linux-calls/package.json"));
/** protobufjs takes it where it is there. Messages have numbers instead, and it compiles WebAssembly when it is loaded. */
const alias = { long: join(root, "tools/no-long.cjs") };
const flavourFlag = "UVM_SHIM_FLAVOUR";

/**
 * Bundles a program with esbuild. A program whose modules read the flavour flag fails here, with a sentence, when
 * no flavour is given: there is no default flavour.
 */
export async function bundleProgram(
  program: Program,
  system: System,
  { external = [] }: { readonly external?: readonly string[] } = {},
): Promise<Bundle> {
  const result = await build({
    entryPoints: [join(root, program.entry)],
    absWorkingDir: root,
    bundle: true,
    external: [...external],
    write: false,
    metafile: true,
    platform: "node",
    target: "node26",
    format: "cjs",
    outfile: `${program.name}.cjs`,
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: true,
    legalComments: "none",
    // What is not the main script cannot import: a single executable has no loader for it.
    supported: { "dynamic-import": !program.isPart },
    // The banner makes all of the file strict: a directive in each module is of no use.
    tsconfigRaw: { compilerOptions: { strict: false, verbatimModuleSyntax: true, useDefineForClassFields: true } },
    logLevel: "silent",
    define: {
      UVM_SHIM_VERSION: JSON.stringify(programVersion(program)),
      [commitVariable]: JSON.stringify(sourceCommit()),
      "import.meta.url": "undefined",
      "process.platform": JSON.stringify(system),
      ...(program.flavour === undefined ? {} : { [flavourFlag]: JSON.stringify(program.flavour) }),
    },
    ...(system === "win32"
      ? {
          alias: { ...alias, koffi: join(root, "packages/hcs-bindings/src/windows/native/packed-koffi.ts") },
          banner: { js: '"use strict";' },
        }
      : {
          // koffi's own variant for bundles looks for its addon below process.resourcesPath.
          alias: {
            ...alias,
            ...(external.includes("koffi") ? {} : { koffi: fromLinuxCalls.resolve("koffi/indirect") }),
          },
          banner: { js: '"use strict";process.resourcesPath??=__dirname;' },
        }),
  });
  const code = result.outputFiles[0]?.contents;
  if (code === undefined) throw new Error(`esbuild wrote nothing for ${program.name}`);
  if (program.flavour === undefined && Buffer.from(code).includes(flavourFlag)) {
    throw new Error(
      `${program.name} cannot be bundled without a flavour: define ${flavourFlag} as "lcow" or "wcow" (there is no default).`,
    );
  }
  return { code, metafile: result.metafile };
}

/** Bundles a program for systems, into the dist/ of the package that owns it. */
export async function writeBundles(program: Program, systems: readonly System[]): Promise<void> {
  const folder = join(root, programFolder(program), "dist", "program");
  mkdirSync(folder, { recursive: true });
  for (const system of systems) {
    const { code, metafile } = await bundleProgram(program, system);
    const name = bundleName(program, system);
    writeFileSync(join(folder, `${name}.cjs`), code);
    writeFileSync(join(folder, `${name}.meta.json`), JSON.stringify(metafile));
  }
}

/**
 * The folder that holds koffi's native addon for a system, as `<triplet>/koffi.node`. koffi depends on that of the system it
 * is installed on; those of others are development dependencies of packages that use koffi.
 */
export function koffiAddonFolder(target: Target): string {
  const addon = `@koromix/koffi-${target}/package.json`;
  if (target === host) return dirname(createRequire(fromLinuxCalls.resolve("koffi")).resolve(addon));
  const owner = target === "win32-x64" ? "hcs-bindings" : "linux-calls";
  return dirname(createRequire(join(root, "packages", owner, "package.json")).resolve(addon));
}
