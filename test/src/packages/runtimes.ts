/** The versions of Node that packages are used on: the pinned one, and the oldest ones that their manifests name. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { compareVersions } from "../../../tools/check/package-manifests.ts";
import { cacheFolder } from "../support/cache.ts";
import { installWithNpm } from "./npm.ts";
import { inParallel } from "./parallel.ts";

export interface Runtime {
  readonly title: string;
  readonly version: string;
  readonly program: string;
}

export class Runtimes {
  readonly #pinned: Runtime;
  /** The oldest first. */
  readonly #others: readonly Runtime[];

  private constructor(pinned: Runtime, others: readonly Runtime[]) {
    this.#pinned = pinned;
    this.#others = others;
  }

  /** Gets each version of Node that the cache lacks, as the npm package of this machine's processor. */
  static async of(versions: Iterable<string>): Promise<Runtimes> {
    const pinned = runtime(process.versions.node, process.execPath);
    const others = await inParallel([...new Set(versions)].sort(compareVersions), fetched);
    return new Runtimes(pinned, others);
  }

  /** The pinned one, and the oldest that is not older than any of these versions. */
  for(...versions: readonly string[]): readonly [pinned: Runtime, oldest: Runtime] {
    const enough = ({ version }: Runtime): boolean => versions.every((each) => compareVersions(version, each) >= 0);
    return [this.#pinned, this.#others.find(enough) ?? this.#pinned];
  }

  get titles(): readonly string[] {
    return [...this.#others, this.#pinned].map(({ title }) => title);
  }
}

function runtime(version: string, program: string): Runtime {
  return { title: `Node ${version}`, version, program };
}

async function fetched(version: string): Promise<Runtime> {
  const folder = cacheFolder(`node-${version}`);
  const name = `node-linux-${process.arch}`;
  const program = join(folder, "node_modules", name, "bin", "node");
  if ((await runCommand(program, ["--version"]).catch(() => undefined))?.status !== 0) {
    writeFileSync(join(folder, "package.json"), '{"private":true}\n');
    await installWithNpm(folder, [`${name}@${version}`]);
  }
  return runtime(version, program);
}
