/** The packages that are published, packed as they are published. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { lowestNode } from "../../../tools/check/package-manifests.ts";
import { manifests, root } from "../../../tools/workspace.ts";

export interface Published {
  readonly name: string;
  /** Its folder below `packages/`. */
  readonly shortName: string;
  readonly tarball: string;
}

export function publishedNames(): readonly string[] {
  return [...manifests()]
    .filter(([folder, manifest]) => folder.startsWith("packages/") && manifest.private !== true)
    .map(([, { name }]) => name);
}

/** The oldest versions of Node that the packages' manifests name. */
export function lowestNodes(): readonly string[] {
  return [...manifests().values()].flatMap((each) => {
    const { private: isPrivate, engines }: PublishedManifest & { readonly private?: boolean } = each;
    return isPrivate === true || engines?.node === undefined ? [] : [lowestNode(engines.node)];
  });
}

/** Builds the packages, and packs them into a folder. */
export async function pack(names: readonly string[], folder: string): Promise<readonly Published[]> {
  const environment = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };
  const options = { directory: root, environment, timeoutMs: 600_000 };
  const quiet = ["--output-logs=errors-only", "--log-prefix=none", "--ui=stream", "--no-update-notifier"];
  const filters = names.map((name) => `--filter=${name}`);
  await mustRun("turbo", ["run", "build", ...filters, ...quiet], options);
  await mustRun("pnpm", [...filters, "--recursive", "pack", "--pack-destination", folder], options);
  const tarballs = globSync("*.tgz", { cwd: folder });
  return names.map((name) => {
    const start = `${name.slice(1).replace("/", "-")}-`;
    const found = tarballs.filter((file) => file.startsWith(start) && /^\d+\.\d+/.test(file.slice(start.length)));
    const [tarball] = found;
    if (tarball === undefined || found.length > 1)
      throw new Error(`pnpm pack made ${found.length} tarballs of ${name}`);
    return { name, shortName: name.replace(/^.*\//, ""), tarball: join(folder, tarball) };
  });
}

/** The manifest of a package as it was published. */
export interface PublishedManifest {
  readonly type?: string;
  readonly engines?: { readonly node?: string };
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export function readPublishedManifest(folder: string): PublishedManifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

/** What is imported from a package: `@uvm-shim/x`, `@uvm-shim/x/testing` and so on. */
export function entriesOf(name: string, { exports = {} }: PublishedManifest): readonly string[] {
  return Object.keys(exports)
    .filter((path) => path !== "./package.json")
    .map((path) => `${name}${path.slice(1)}`);
}
