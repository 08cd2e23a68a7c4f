/** An empty project of somebody else, in which the tarballs are installed as npm installs them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type CommandResult, mustRun, runCommand } from "@uvm-shim/test-support/command";
import { manifest } from "../../../tools/workspace.ts";
import { cacheFolder } from "../support/cache.ts";
import type { Published } from "./tarballs.ts";

/** The oldest line of Node that the packages run on, and the older compiler of those that type-check them. */
const olderNode = "22.23.5";
const olderTypeScript = "5.9.3";

export interface Runtime {
  readonly title: string;
  readonly program: string;
}

/** The Node that this runs on, and Node 22, which is fetched when the cache lacks it. */
export async function runtimes(): Promise<readonly Runtime[]> {
  const folder = cacheFolder(`node-${olderNode}`);
  const name = `node-linux-${process.arch}`;
  const program = join(folder, "node_modules", name, "bin", "node");
  if ((await runCommand(program, ["--version"]).catch(() => undefined))?.status !== 0) {
    writeFileSync(join(folder, "package.json"), '{"private":true}\n');
    await npm(folder, [`${name}@${olderNode}`]);
  }
  return [
    { title: `Node ${process.versions.node}`, program: process.execPath },
    { title: `Node ${olderNode}`, program },
  ];
}

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
    await npm(folder, []);
    return consumer;
  }

  /** What some packages' entries for tests ask for, as an optional peer. */
  async installVitest(): Promise<void> {
    await npm(this.folder, ["--save-dev", `vitest@${manifest().devDependencies.vitest}`]);
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

async function npm(folder: string, args: readonly string[]): Promise<void> {
  const quietly = ["--no-audit", "--no-fund", "--loglevel=error"];
  await mustRun("npm", ["install", ...args, ...quietly], { directory: folder, timeoutMs: 600_000 });
}
