import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type HoldingsScope, readProcesses } from "../leaks/holdings.ts";
import { parseMountinfo } from "../leaks/mountinfo.ts";
import { runCommand } from "../support/command.ts";
import type { Containerd } from "./containerd.ts";
import type { Ground, Runtime } from "./suite.ts";

/** Where a shim of this containerd could leave something. */
export function scopeOf(containerd: Containerd, runtime: Runtime): HoldingsScope {
  const tasks = "io.containerd.runtime.v2.task";
  const expected = new Set([
    "/run/containerd",
    "/run/containerd/fifo",
    "/run/containerd/runc",
    `/run/containerd/runc/${containerd.namespace}`,
    "/run/containerd/s",
    join(containerd.root, tasks, containerd.namespace),
    join(containerd.state, tasks, containerd.namespace),
  ]);
  return {
    directories: ["/run", containerd.state, join(containerd.root, tasks), String(containerd.environment.TMPDIR)],
    isExpected: (path) =>
      expected.has(path) ||
      // The FIFOs are ctr's, which leaves them when it cannot delete the task itself.
      path.startsWith("/run/containerd/fifo/") ||
      (runtime.key === "runc" && runcLeaves(path, containerd.namespace)),
    isOwn: isContainerd,
    computeSystems: async () => [],
  };
}

/** What the reference shim leaves: the parent of its control groups and, when it is killed, its socket. */
function runcLeaves(path: string, namespace: string): boolean {
  return path.startsWith("/run/containerd/s/") || (path.startsWith("/sys/fs/cgroup/") && basename(path) === namespace);
}

function isContainerd(command: string): boolean {
  return command.includes("/containerd --config");
}

/** After a failed case: ends its tasks, containers and sandboxes, then by force whatever is not containerd. */
export async function endStrays(ground: Ground): Promise<void> {
  const { containerd } = ground;
  const names = async (args: readonly string[]): Promise<string[]> =>
    (await containerd.ctr(args)).stdout
      .toString()
      .split("\n")
      .filter((line) => line !== "");
  for (const id of await names(["task", "list", "--quiet"])) await containerd.ctr(["task", "delete", "--force", id]);
  for (const id of await names(["container", "list", "--quiet"])) await containerd.ctr(["container", "delete", id]);
  if (containerd.build.major >= 2) {
    const rows = (await names(["sandboxes", "list"])).slice(1);
    for (const row of rows) await containerd.ctr(["sandboxes", "remove", "--force", row.split(/\s/)[0] as string]);
  }
  // This process namespace holds nothing but the suite and what it started.
  for (const stray of readProcesses()) {
    if (stray.pid === 1 || isContainerd(stray.command)) continue;
    try {
      process.kill(stray.pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const below = mounts.filter((mount) => mount.point.startsWith(`${containerd.state}/`)).reverse();
  for (const mount of below) await runCommand("umount", ["--lazy", mount.point]);
}
