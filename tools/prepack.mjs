// Runs before a package is packed, in its folder: builds it, so that no tarball is empty or stale.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { name } = JSON.parse(readFileSync("package.json", "utf8"));

// npm would leave `workspace:` versions and the exports of the sources in the manifest, and nobody could use the package.
const { npm_config_user_agent: agent = "", UVM_SHIM_PACKAGES: packages } = process.env;
if (!agent.startsWith("pnpm/")) {
  refuse("pack and publish with pnpm, which puts versions and exports of the published package into its manifest");
}
// The suite of packages has built all of them in one go.
if (packages !== "built") build();

function build() {
  const options = ["--output-logs=errors-only", "--ui=stream"];
  const built = spawnSync("turbo", ["run", "build", `--filter=${name}`, ...options], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" },
  });
  if (built.error === undefined && built.status === 0) return;
  const why = built.error?.message ?? `${built.stdout}${built.stderr}`;
  refuse(`it cannot be built (run npm run bootstrap first, and call pnpm with node_modules/.bin in PATH): ${why}`);
}

function refuse(why) {
  process.stderr.write(`${name} is not packed: ${why}\n`);
  process.exit(1);
}
