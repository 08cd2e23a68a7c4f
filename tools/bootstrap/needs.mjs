// @ts-check
/**
 * What each command needs of a Linux machine, and which packages of its distribution have it. Plain JavaScript for Node
 * 20, since it is read before the pinned Node is there; nothing here looks at the machine.
 *
 * @typedef {"apt" | "dnf" | "apk" | "zypper"} Manager
 *
 * @typedef {object} Need
 * @property {string} what How a sentence calls it.
 * @property {readonly string[]} [programs] Names or paths of programs, any of which will do.
 * @property {string} [library] The name of a shared library.
 * @property {{ readonly [manager in Manager]?: string }} packages
 *
 * @typedef {object} Command
 * @property {string} [rootFor] What root is needed for.
 * @property {readonly Need[]} required Without these it does not start.
 * @property {readonly Need[]} optional Without one of these it leaves something out, and says so.
 * @property {"runtime" | "all"} dependencies Packages of the workspace: those that its programs run with, or all.
 * @property {readonly ("linux-x64" | "linux-arm64" | "win32-x64")[]} runtimes Systems for which it needs a Node besides its own.
 */

/** @type {(names: string) => Need["packages"]} */
const everywhere = (name) => ({ apt: name, dnf: name, apk: name, zypper: name });

/** Where Debian has the plugins that set pods' networks up. */
export const pluginFolder = "/usr/lib/cni";

/** @satisfies {{ readonly [name: string]: Need }} */
export const needs = {
  atomic: {
    what: "libatomic.so.1",
    library: "libatomic.so.1",
    packages: { apt: "libatomic1", dnf: "libatomic", apk: "libatomic", zypper: "libatomic1" },
  },
  ociRuntime: {
    what: "an OCI runtime, crun or runc",
    programs: ["crun", "runc"],
    packages: { ...everywhere("crun"), zypper: "runc" },
  },
  crun: { what: "crun", programs: ["crun"], packages: everywhere("crun") },
  runc: { what: "runc", programs: ["runc"], packages: everywhere("runc") },
  busybox: {
    what: "busybox",
    programs: ["busybox"],
    packages: { ...everywhere("busybox"), apt: "busybox-static", zypper: "busybox-static" },
  },
  mkfs: { what: "mkfs.ext4", programs: ["mkfs.ext4"], packages: everywhere("e2fsprogs") },
  mount: { what: "mount", programs: ["mount"], packages: { ...everywhere("util-linux"), apt: "mount", apk: "mount" } },
  unshare: {
    what: "unshare",
    programs: ["unshare"],
    packages: { ...everywhere("util-linux"), apk: "util-linux-misc" },
  },
  setpriv: { what: "setpriv", programs: ["setpriv"], packages: { ...everywhere("util-linux"), apk: "setpriv" } },
  losetup: {
    what: "losetup",
    programs: ["losetup"],
    packages: { ...everywhere("util-linux"), apt: "mount", apk: "losetup" },
  },
  script: {
    what: "script",
    programs: ["script"],
    packages: { apt: "bsdutils", dnf: "util-linux-script", apk: "util-linux-misc", zypper: "util-linux" },
  },
  mkfifo: { what: "mkfifo", programs: ["mkfifo"], packages: everywhere("coreutils") },
  ldd: {
    what: "ldd",
    programs: ["ldd"],
    packages: { apt: "libc-bin", dnf: "glibc-common", apk: "musl-utils", zypper: "glibc" },
  },
  ip: {
    what: "ip",
    programs: ["ip"],
    packages: { apt: "iproute2", dnf: "iproute", apk: "iproute2", zypper: "iproute2" },
  },
  hostname: { what: "hostname", programs: ["hostname"], packages: { ...everywhere("hostname"), apk: "busybox" } },
  python: { what: "python3", programs: ["python3"], packages: everywhere("python3") },
  shellcheck: {
    what: "shellcheck",
    programs: ["shellcheck"],
    packages: { ...everywhere("shellcheck"), dnf: "ShellCheck", zypper: "ShellCheck" },
  },
  tmux: { what: "tmux", programs: ["tmux"], packages: everywhere("tmux") },
  git: { what: "git", programs: ["git"], packages: everywhere("git") },
  plugins: {
    what: "the CNI plugins",
    programs: [`${pluginFolder}/bridge`],
    packages: { apt: "containernetworking-plugins" },
  },
  iptables: { what: "iptables", programs: ["iptables"], packages: everywhere("iptables") },
  debootstrap: { what: "debootstrap", programs: ["debootstrap"], packages: everywhere("debootstrap") },
  debian: {
    what: "Debian's apt-get and dpkg-deb, by which it gets a kernel and QEMU (100 MB)",
    programs: ["apt-get"],
    packages: { apt: "apt" },
  },
  systemd: {
    what: "systemd",
    programs: ["/lib/systemd/systemd"],
    packages: { apt: "systemd", dnf: "systemd", zypper: "systemd" },
  },
  mingw: {
    what: "a C compiler for Windows",
    programs: ["x86_64-w64-mingw32-gcc"],
    packages: { apt: "gcc-mingw-w64-x86-64", dnf: "mingw64-gcc", apk: "mingw-w64-gcc", zypper: "mingw64-cross-gcc" },
  },
};

const { atomic, ociRuntime, crun, runc, busybox, mkfs, mount, unshare, setpriv, losetup, script, mkfifo, ldd, ip } =
  needs;
const { hostname, python, git, shellcheck, tmux, plugins, iptables, debootstrap, mingw, systemd, debian } = needs;

const emulatedHost = [atomic, ociRuntime, mount, unshare, setpriv, mkfifo, ldd];
const wine = [debootstrap, mingw, ip, mkfs, hostname];
const containers = [atomic, crun, runc, busybox, mkfs, mount, unshare, setpriv, losetup, script, mkfifo, ldd, ip];
const namespaces = "mounts and namespaces";

/** @type {Command} */
const plain = { required: [atomic], optional: [], dependencies: "all", runtimes: [] };
/** @type {Command} */
const containerd = { ...plain, rootFor: namespaces, required: [...containers, plugins, iptables] };
/** @type {Command} */
const windows = { ...plain, rootFor: namespaces, required: [...containers, ...wine], runtimes: ["win32-x64"] };

/** Commands that need more than the workspace itself. @type {{ readonly [task: string]: Command }} */
const commands = {
  demo: { ...plain, rootFor: namespaces, required: emulatedHost, dependencies: "runtime" },
  "demo --vm": { ...plain, rootFor: namespaces, required: [...emulatedHost, debian], dependencies: "runtime" },
  "demo --windows": { ...plain, rootFor: namespaces, required: [...emulatedHost, ...wine], dependencies: "runtime" },
  test: { ...plain, optional: [...containers.filter((need) => need !== atomic), python, git, shellcheck, tmux] },
  build: { ...plain, runtimes: ["win32-x64"] },
  "release:archives": { ...plain, runtimes: ["linux-x64", "linux-arm64", "win32-x64"] },
  "release:check": containerd,
  e2e: containerd,
  bench: containerd,
  "bench --vm": { ...containerd, required: [...containerd.required, debian] },
  causes: containerd,
  telemetry: containerd,
  soak: containerd,
  systemd: { ...containerd, required: [...containerd.required, systemd] },
  attack: { ...containerd, required: [...containerd.required, python] },
  "e2e:vm": { ...containerd, required: [...containerd.required, debian] },
  "e2e:windows": windows,
  "bench:windows": windows,
  bare: { ...plain, rootFor: namespaces, required: [atomic, debootstrap, mount, unshare, git] },
};

/**
 * What a command needs: `npm run <task> -- <args>`.
 *
 * @param {string} task
 * @param {readonly string[]} args
 * @returns {Command}
 */
export function commandOf(task, args) {
  const kind = ["--windows", "--vm"].find((option) => args.includes(option));
  return (kind === undefined ? undefined : commands[`${task} ${kind}`]) ?? commands[task] ?? plain;
}

/**
 * What several commands need together; what one of them cannot do without is required.
 *
 * @param {readonly string[]} tasks
 * @returns {Command}
 */
export function commandsTogether(tasks) {
  const all = tasks.map((task) => commandOf(task, []));
  const rootFor = all.find((command) => command.rootFor !== undefined)?.rootFor;
  return {
    ...(rootFor === undefined ? {} : { rootFor }),
    required: [...new Set([atomic, ...all.flatMap(({ required, optional }) => [...required, ...optional])])],
    optional: [],
    dependencies: "all",
    runtimes: [...new Set(all.flatMap(({ runtimes }) => runtimes))],
  };
}

const install = {
  apt: "apt-get install",
  dnf: "dnf install",
  apk: "apk add",
  zypper: "zypper install",
};

/**
 * The packages of a distribution that have what is lacking, each once, and the lacking things that it has no package of.
 *
 * @param {readonly Need[]} lacking
 * @param {Manager} manager
 */
export function packagesFor(lacking, manager) {
  const named = lacking.flatMap(({ packages }) => packages[manager] ?? []);
  return {
    packages: [...new Set(named)].sort(),
    unpackaged: lacking.filter(({ packages }) => packages[manager] === undefined),
  };
}

/**
 * How to get what is lacking, as an order to type; undefined where the distribution has no package of any of it.
 *
 * @param {readonly Need[]} lacking
 * @param {Manager} manager
 */
export function orderFor(lacking, manager) {
  const { packages } = packagesFor(lacking, manager);
  return packages.length === 0 ? undefined : `${install[manager]} ${packages.join(" ")}`;
}

/** "a", "a and b", or "a, b and c". @param {readonly string[]} words */
export function enumerate(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/**
 * The sentence for a machine that cannot get what is lacking by itself.
 *
 * @param {string} task
 * @param {readonly Need[]} lacking
 * @param {{ readonly manager: Manager | undefined, readonly why?: string }} circumstances
 */
export function sentence(task, lacking, { manager, why }) {
  const order = manager === undefined ? undefined : orderFor(lacking, manager);
  const debian = `with the packages that Debian calls ${packagesFor(lacking, "apt").packages.join(", ")}`;
  const what = enumerate(lacking.map((need) => need.what));
  return `npm run ${task} needs ${what}, which this machine lacks: ${order ?? debian}${why === undefined ? "" : `\n(${why})`}`;
}
