import { recordFolder } from "@uvm-shim/shim/record";
import { bundlesBelow, rootOfBundle, usualBundleRoots } from "./bundles.ts";
import { shimPipes } from "./pipes.ts";
import { type Finding, mergeFindings, type Pod } from "./pod.ts";
import { linuxProcesses, type MachineProcess, servingShims } from "./processes.ts";
import { recordsIn } from "./records.ts";

export interface Places {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly processes?: () => readonly MachineProcess[];
  readonly pipes?: () => readonly string[];
}

/** All pods that this machine knows: served by a shim, in containerd's bundles, or with a record. */
export function findPods({ env, platform, processes = linuxProcesses, pipes }: Places): readonly Pod[] {
  const listed = platform === "win32" ? shimPipes(pipes) : servingShims(processes());
  const serving: readonly Finding[] = listed ?? [];
  const roots = new Set(usualBundleRoots(env, platform));
  for (const { bundle } of serving) if (bundle !== undefined) roots.add(rootOfBundle(bundle));
  const inBundles = bundlesBelow([...roots]);
  const named = serving.map((finding) => {
    const owner = finding.namespace === "" ? inBundles.find(({ socket }) => socket === finding.socket) : undefined;
    return owner === undefined ? finding : { ...finding, namespace: owner.namespace, id: owner.id };
  });
  // Whether somebody serves a socket that a bundle names, only a list of those that are served tells, or a call.
  const known = listed === undefined ? inBundles : inBundles.map(({ socket: _, ...finding }) => finding);
  return mergeFindings([...named, ...known, ...recordsIn(recordFolder(env, platform))]);
}
