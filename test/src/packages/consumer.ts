/** An empty project of somebody else, in which the tarballs are installed as npm installs them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type CommandResult, runCommand } from "@uvm-shim/test-support/command";
import { manifest } from "../../../tools/workspace.ts";
import { installWithNpm } from "./npm.ts";
import type { Published } from "./tarballs.ts";

/** The older compiler of those that type-check the packages. */
const olderTypeScript = "5.9.3";

export interface Compiler {
  readonly title: string;
  readonly program: string;
}

export class Consumer {
  readonly folder: string;
  readonly compilers: readonly Compiler[];
  readonly newestCompiler: Compiler;

  private constructor(folder: string) {
    this.folder = folder;
    const compiler = (major: number): Compiler => ({
      title: `TypeScript ${major}`,
      program: join(folder, "node_modules", `typescript-${major}`, "bin", "tsc"),
    });
    this.newestCompiler = compiler(7);
    this.compilers = [compiler(5), this.newestCompiler];
  }

  /** Each of our packages comes from its tarball, wherever in the tree somebody depends on it; all else from the registry. */
  static async install(folder: string, packages: readonly Published[]): Promise<Consumer> {
    const consumer = new Consumer(folder);
    const { typescript } = manifest().devDependencies;
    consumer.write("package.json", {
      private: true,
      type: "module",
      dependencies: Object.fromEntries(packages.map(({ name, tarball }) => [name, `file:${tarball}`])),
      devDependencies: {
        "typescript-5": `npm:typescript@${olderTypeScript}`,
        "typescript-7": `npm:typescript@${typescript}`,
      },
      overrides: Object.fromEntries(packages.map(({ name }) => [name, `$${name}`])),
    });
    await installWithNpm(folder);
    return consumer;
  }

  /** What some packages' entries for tests ask for, as an optional peer. Returns the oldest Node 22 that it runs on. */
  async installVitest(): Promise<string> {
    await installWithNpm(this.folder, ["--save-dev", `vitest@${manifest().devDependencies.vitest}`]);
    const { engines } = JSON.parse(readFileSync(join(this.packageFolder("vitest"), "package.json"), "utf8"));
    const [, oldest] = /\^(22\.\d+\.\d+)/.exec(engines.node) ?? [];
    if (oldest === undefined)
      throw new Error(`vitest runs on ${engines.node}, expected some releases of Node 22 among it`);
    return oldest;
  }

  packageFolder(name: string): string {
    return join(this.folder, "node_modules", name);
  }

  write(file: string, content: string | object): void {
    const path = join(this.folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === "string" ? content : `${JSON.stringify(content, undefined, 2)}\n`);
  }

  run(
    program: string,
    args: readonly string[],
    options: { timeoutMs: number; directory?: string },
  ): Promise<CommandResult> {
    return runCommand(program, args, { directory: this.folder, ...options });
  }
}
