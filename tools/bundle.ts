import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import { commitVariable, sourceCommit } from "./commit.ts";
import { bundleName, type Program, programFolder, programVersion, type System, servingName } from "./programs.ts";
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

/** koffi copies all of node:util, whose parts load when they are looked at, for a single function of it. */
const littleUtilForKoffi: Plugin = {
  name: "little-util",
  setup(context) {
    context.onResolve({ filter: /^node:util$/ }, ({ importer }) =>
      /\/koffi\//.test(importer) ? { path: join(root, "tools/little-util.cjs") } : undefined,
    );
  },
};

/**
 * Bundles a program with esbuild. A program whose modules read the flavour flag fails here, with a sentence, when
 * no flavour is given: there is no default flavour.
 */
export async function bundleProgram(
  program: Program,
  system: System,
  {
    external = [],
    plugins = [],
    modules,
  }: {
    readonly external?: readonly string[];
    readonly plugins?: readonly Plugin[];
    /** Instead of the program: gives each of these modules to the one who asks for it by its path. */
    readonly modules?: readonly string[];
  } = {},
): Promise<Bundle> {
  const start =
    modules === undefined
      ? { entryPoints: [join(root, program.entry)] }
      : { stdin: { contents: givingModules(modules), resolveDir: root } };
  const result = await build({
    ...start,
    plugins: [littleUtilForKoffi, ...plugins],
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

function givingModules(modules: readonly string[]): string {
  const cases = modules.map(
    (module) => `${JSON.stringify(module)}: () => require(${JSON.stringify(join(root, module))}),`,
  );
  return `module.exports = { ${cases.join(" ")} };`;
}

/** The files of a program whose `serving` modules are in the second one. */
export interface SplitBundle {
  readonly first: Bundle;
  readonly serving: Bundle;
}

/** Bundles a program in two files: what it begins with, and what it loads to serve. */
export async function splitProgram(program: Program, system: System): Promise<SplitBundle> {
  const modules = (program.serving ?? []).filter((module) => system === "win32" || !/\/windows\//.test(module));
  const [first, serving] = await Promise.all([
    bundleProgram(program, system, { plugins: [loadFromSecondFile(program, modules)] }),
    bundleProgram({ ...program, isPart: true }, system, { modules }),
  ]);
  const both = modules.find((module) => (outputOf(first).inputs[module]?.bytesInOutput ?? 0) > 0);
  if (both !== undefined) throw new Error(`${program.name}: only dynamic imports may name ${both}`);
  return { first, serving };
}

function outputOf({ metafile }: Bundle): Metafile["outputs"][string] {
  const [output] = Object.values(metafile.outputs);
  if (output === undefined) throw new Error("esbuild wrote nothing");
  return output;
}

/** Replaces each module by one that takes it from the second file. */
function loadFromSecondFile(program: Program, modules: readonly string[]): Plugin {
  const parts = join(root, "packages/platform-common/src/parts.ts");
  const namespace = "second-file";
  return {
    name: namespace,
    setup(context) {
      context.onResolve({ filter: /\.ts$|^@uvm-shim\// }, async ({ path, resolveDir, kind, pluginData }) => {
        if (kind !== "dynamic-import" || pluginData === namespace) return;
        const resolved = await context.resolve(path, { resolveDir, kind, pluginData: namespace });
        const module = relative(root, resolved.path);
        return modules.includes(module) ? { path: module, namespace } : undefined;
      });
      context.onLoad({ filter: /./, namespace }, ({ path }) => ({
        contents: `module.exports = require(${JSON.stringify(parts)}).loadServing(${JSON.stringify(program.name)}, ${JSON.stringify(path)});`,
        resolveDir: root,
      }));
    },
  };
}

/** Bundles a program for systems, into the dist/ of the package that owns it. */
export async function writeBundles(program: Program, systems: readonly System[]): Promise<void> {
  const folder = join(root, programFolder(program), "dist", "program");
  mkdirSync(folder, { recursive: true });
  for (const system of systems) {
    const name = bundleName(program, system);
    const write = (file: string, { code, metafile }: Bundle): void => {
      writeFileSync(join(folder, `${file}.cjs`), code);
      writeFileSync(join(folder, `${file}.meta.json`), JSON.stringify(metafile));
    };
    if (program.serving === undefined) {
      write(name, await bundleProgram(program, system));
    } else {
      const { first, serving } = await splitProgram(program, system);
      write(name, first);
      write(servingName(program, system), serving);
    }
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
