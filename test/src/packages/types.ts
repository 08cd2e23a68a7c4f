/** Type-checks programs of the consumer, strictly, with the declarations of libraries. */
import { describe } from "@uvm-shim/test-support/command";
import type { Compiler, Consumer } from "./consumer.ts";
import { inParallel } from "./parallel.ts";

const compileTimeoutMs = 300_000;

let configurations = 0;

const resolutions = {
  node16: { module: "node16", moduleResolution: "node16" },
  bundler: { module: "esnext", moduleResolution: "bundler" },
};

const strictly = {
  target: "es2023",
  lib: ["es2023"],
  strict: true,
  skipLibCheck: false,
  noEmit: true,
  // No declarations but those that a package refers to.
  types: [],
};

export interface Diagnostic {
  /** Path below the project; empty for what concerns no file. */
  readonly file: string;
  readonly text: string;
}

/** The program that imports the types of entries. */
export function importingProgram(entries: readonly string[]): string {
  const imports = entries.map((entry, index) => `import * as entry${index} from "${entry}";`);
  return `${imports.join("\n")}\nexport const entries = [${entries.map((_, index) => `entry${index}`).join(", ")}];\n`;
}

/** The errors of one program out of several files, by each compiler and each way to resolve modules. */
export async function typeErrors(
  consumer: Consumer,
  files: readonly string[],
  compilerOptions: object = {},
): Promise<readonly Diagnostic[]> {
  const ways = consumer.compilers.flatMap((compiler) =>
    (["node16", "bundler"] as const).map((resolution) => ({ compiler, resolution })),
  );
  const found = await inParallel(ways, ({ compiler, resolution }) =>
    compile(consumer, compiler, resolution, files, compilerOptions),
  );
  return found.flat();
}

/** The errors of a program that has the declarations of one package alone. */
export async function typeErrorsAlone(consumer: Consumer, file: string): Promise<readonly Diagnostic[]> {
  return await compile(consumer, consumer.newestCompiler, "node16", [file], {});
}

/** Compiles files to a folder, whatever the compiler says about them. */
export async function emit(consumer: Consumer, files: readonly string[], from: string, to: string): Promise<void> {
  const options = { noEmit: false, skipLibCheck: true, types: ["node"], rootDir: from, outDir: to };
  await compile(consumer, consumer.newestCompiler, "node16", files, options);
}

async function compile(
  consumer: Consumer,
  compiler: Compiler,
  resolution: keyof typeof resolutions,
  files: readonly string[],
  options: object,
): Promise<readonly Diagnostic[]> {
  const title = `${compiler.title}, ${resolution}`;
  const file = `tsconfig.${configurations++}.json`;
  consumer.write(file, { compilerOptions: { ...strictly, ...resolutions[resolution], ...options }, files });
  const result = await consumer.run(process.execPath, [compiler.program, "-p", file, "--pretty", "false"], {
    timeoutMs: compileTimeoutMs,
  });
  const diagnostics = result.stdout
    .toString("utf8")
    .split(/\n(?!\s)/)
    .flatMap((text): Diagnostic[] => {
      const { file = "", line } = /^(?<file>[^(\n]+)\((?<line>\d+),\d+\): error /.exec(text)?.groups ?? {};
      if (line === undefined && !text.startsWith("error ")) return [];
      return [{ file, text: `${title}: ${text}` }];
    });
  if (result.status === 0 || diagnostics.length > 0) return diagnostics;
  return [{ file: "", text: `${title}: ${describe(result)}` }];
}
