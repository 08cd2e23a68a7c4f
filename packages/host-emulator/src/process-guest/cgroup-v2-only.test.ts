/**
 * What keeps a guest from the machine where version 2 of control groups stands alone: the same tests, in a view of this
 * machine in which no hierarchy of version 1 is mounted. The controllers that version 1 holds are not there then, so limits
 * of memory and processors and sets of processors cannot be tried.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
/** In a mount namespace of its own. */
const view = `
  set -e
  mount --make-rprivate /
  for place in $(awk '$5 ~ "^/sys/fs/cgroup/" { print $5 }' /proc/self/mountinfo); do umount -l "$place"; done
  umount -l /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  exec "$@"`;
const minutes = 60_000;

/** Runs tests of a file there; answers with what they say when one fails, or none has been run. */
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
)("where version 2 stands alone", () => {
  const lacking = ["memory", "cpu", "cpuset"].filter(
    (controller) => !readFileSync("/proc/cgroups", "utf8").includes(`${controller}\t0\t`),
  );
  if (lacking.length > 0) {
    console.warn(`version 2 alone is tried without ${lacking.join(", ")}, since version 1 holds them on this machine`);
  }

  it(
    "a container with every capability reaches neither devices nor settings of the machine",
    () => {
      expect(run("packages/host-emulator/src/process-guest/escapes/escapes.test.ts", "cannot")).toBe("");
    },
    2 * minutes,
  );

  it(
    "a guest boots, is frozen and thawed, has its disks, and leaves nothing",
    () => {
      const tests = "boots into|ends in good order|while it is frozen|has the disks";
      expect(run("packages/host-emulator/src/process-guest/process-guest.test.ts", tests)).toBe("");
    },
    2 * minutes,
  );
});
