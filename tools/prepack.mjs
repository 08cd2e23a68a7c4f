// Runs before a package is packed, in its folder: builds it, so that no tarball is empty or stale.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { name } = JSON.parse(readFileSync("package.json", "utf8"));

// npm would leave `workspace:` versions and the exports of the sources in the manifest, and nobody could use the package.
const { npm_config_user_agent: agent = "" } = process.env;
if (!agent.startsWith("pnpm/")) {
  refuse("pack and publish with pnpm, which puts versions and exports of the published package into its manifest");
}
const build = spawnSync("turbo", ["run", "build", `--filter=${name}`, "--output-logs=errors-only", "--ui=stream"], {
  cwd: root,
  encoding: "utf8",
  shell: process.platform === "win32",
  env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" },
});
if (build.error !== undefined || build.status !== 0) {
  const why = build.error?.message ?? `${build.stdout}${build.stderr}`;
  refuse(`it cannot be built (run npm run bootstrap first, and call pnpm with node_modules/.bin in PATH): ${why}`);
}

function refuse(why) {
  process.stderr.write(`${name} is not packed: ${why}\n`);
  process.exit(1);
}
