/**
 * What isolates a guest from a machine with version 2 of control groups alone: the same tests, in a view of this
 * machine without mounted hierarchies of version 1. Controllers that version 1 holds are missing there, so limits of
 * memory and processors and sets of processors cannot be tested.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
/** Runs a command in a mount namespace of its own, with version 2 alone. */
const view = `
  set -e
  mount --make-rprivate /
  for place in $(awk '$5 ~ "^/sys/fs/cgroup/" { print $5 }' /proc/self/mountinfo); do umount -l "$place"; done
  umount -l /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  exec "$@"`;
const minutes = 60_000;

/** Runs tests of a file there; returns their output if one fails or none is run, else "". */
function run(file: string, tests: string): string {
  const vitest = ["node_modules/vitest/vitest.mjs", "run", file, "--maxWorkers=1", "--testNamePattern", tests];
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    ["--mount", "sh", "-c", view, "sh", process.execPath, ...vitest],
    { cwd: root, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } },
  );
  if (status === 0 && /Tests {2}.*\b[1-9]\d* passed/.test(stdout)) return "";
  return `exit ${status}\n${stdout}\n${stderr}`;
}

describeWith(
  "root",
  "crun",
  "python3",
  "control groups of version 2",
)("on a machine with version 2 alone", () => {
  const missing = ["memory", "cpu", "cpuset"].filter(
    (controller) => !readFileSync("/proc/cgroups", "utf8").includes(`${controller}\t0\t`),
  );
  if (missing.length > 0) {
    console.warn(`version 2 alone is tested without ${missing.join(", ")}, which version 1 holds on this machine`);
  }

  it(
    "a container with every capability reaches neither devices nor settings of the machine",
    () => {
      expect(run("packages/host-emulator/src/process-guest/escapes/escapes.test.ts", "cannot")).toBe("");
    },
    2 * minutes,
  );

  it(
    "a guest boots, is frozen and thawed, has its disks, and leaves nothing behind",
    () => {
      const tests = "boots into|shuts down in order|while it is frozen|has the disks";
      expect(run("packages/host-emulator/src/process-guest/process-guest.test.ts", tests)).toBe("");
    },
    2 * minutes,
  );
});
