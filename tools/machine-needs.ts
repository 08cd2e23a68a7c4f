/** What a test suite needs of the machine, so that one that cannot run says why instead of failing or vanishing. */
import { existsSync, readFileSync } from "node:fs";
import { describe } from "vitest";

/** Programs, each with the Debian package that has it. */
const packages = {
  crun: "crun",
  runc: "runc",
  busybox: "busybox-static",
  "mkfs.ext4": "e2fsprogs",
  python3: "python3",
  ip: "iproute2",
} as const;

/** Kinds of control groups, each with what tells a mount of theirs in /proc/self/mountinfo. */
const controlGroups = {
  "control groups of version 2": / - cgroup2 /,
  "the control groups of version 1 for devices": / - cgroup \S+ \S*\bdevices\b/,
} as const;

export type Need = "root" | keyof typeof controlGroups | keyof typeof packages;

const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** What is lacking, and how to get it; undefined when the machine has it. */
export function lackOf(need: Need): string | undefined {
  if (need === "root") return process.getuid?.() === 0 ? undefined : "root: run the tests as root, or with sudo";
  if (isControlGroups(need)) {
    return controlGroups[need].test(readFileSync("/proc/self/mountinfo", "utf8")) ? undefined : need;
  }
  if (folders.some((folder) => existsSync(`${folder}/${need}`))) return undefined;
  return `${need}: apt-get install ${packages[need]}`;
}

function isControlGroups(need: Need): need is keyof typeof controlGroups {
  return need in controlGroups;
}

/** `describe`, or `describe.skip` with its reason printed where the machine lacks something. */
export function describeWith(...needs: readonly Need[]): typeof describe | typeof describe.skip {
  const lacks = needs.map(lackOf).filter((lack) => lack !== undefined);
  if (lacks.length === 0) return describe;
  console.warn(`skipped, since this machine lacks ${lacks.join(", and ")}`);
  return describe.skip;
}
