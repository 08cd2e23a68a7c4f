/** Bundles the demo, which then starts in a third of the time that its sources take. */
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "./workspace.ts";

/** As deep below the root as the sources in test/src/*, which find it by that. */
export const demoProgram = join("dist", "demo", "program", "demo.mjs");

export async function bundleDemo(): Promise<void> {
  await build({
    entryPoints: [join(root, "test", "src", "demo", "main.ts")],
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node26",
    outfile: demoProgram,
    // Its scene needs Wine, and is run from the sources.
    external: ["./windows-scene.ts"],
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "silent",
  });
}
