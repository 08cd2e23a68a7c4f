import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { type HoldingsScope, readProcesses } from "../leaks/holdings.ts";
import { parseMountinfo } from "../leaks/mountinfo.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import type { Containerd } from "./containerd.ts";
import type { CaseContext, Runtime } from "./suite.ts";

/** Where a shim of this containerd could leave something. */
export function scopeOf(containerd: Containerd, runtime: Runtime): HoldingsScope {
  const { root, state, namespace } = containerd;
  const plugins = ["io.containerd.runtime.v2.task", "io.containerd.sandbox.controller.v1.shim"];
  const bundles = [root, state].flatMap((directory) => plugins.map((plugin) => join(directory, plugin)));
  const sandboxer = join(dirname(state), "sandboxer");
  const expected = new Set([
    ...bundles.flatMap((directory) => [directory, join(directory, namespace)]),
    // Parents of what CRI keeps of pods and containers.
    ...["containers", "sandboxes"].map((name) => join(state, "io.containerd.grpc.v1.cri", name)),
    // Of a sandboxer, its list of VMs that are ready, and the namespaces in it.
    sandboxer,
    join(sandboxer, "ready-vms"),
    join(sandboxer, namespace),
    // Of one that a service manager has started.
    ...[namespace, "owner"].map((name) => join("/run/uvm-shim/sandboxer/lcow", name)),
    "/run/netns",
    "/run/xtables.lock",
  ]);
  const kept = existsSync(sandboxer) ? [sandboxer] : [];
  const scope = shimScope([state, ...kept, ...bundles, String(containerd.environment.TMPDIR)]);
  return {
    ...scope,
    isExpected: (path) =>
      scope.isExpected(path) || expected.has(path) || (runtime.key === "runc" && runcLeaves(path, namespace)),
    isOwn: isContainerd,
  };
}

/** What the reference shim leaves: the parents of its control groups and states and, when it is killed, its socket. */
function runcLeaves(path: string, namespace: string): boolean {
  if (path === `/run/containerd/runc/${namespace}`) return true;
  return path.startsWith("/run/containerd/s/") || (path.startsWith("/sys/fs/cgroup/") && basename(path) === namespace);
}

/** containerd, and the sandboxer that serves it. */
function isContainerd(command: string): boolean {
  return command.includes("/containerd --config") || / sandboxer$/.test(command.trim());
}

/** After a failed case: ends its tasks, containers and sandboxes, then by force whatever is not containerd. */
export async function endStrays(context: CaseContext): Promise<void> {
  const { containerd } = context;
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
  await endStrayProcesses(containerd.state);
}

/** Ends by force whatever is not the suite or its containerd: this process namespace holds nothing else. */
export async function endStrayProcesses(mountsBelow: string): Promise<void> {
  for (const stray of readProcesses()) {
    if (stray.pid === 1 || isContainerd(stray.command)) continue;
    try {
      process.kill(stray.pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const below = mounts.filter((mount) => mount.point.startsWith(`${mountsBelow}/`)).reverse();
  for (const mount of below) await runCommand("umount", ["--lazy", mount.point]);
}
