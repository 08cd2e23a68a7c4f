import { recordFolder } from "@uvm-shim/shim/record";
import { bundlesBelow, findingIn, rootOfBundle, usualBundleRoots } from "./bundles.ts";
import { shimPipes } from "./pipes.ts";
import { type Finding, mergeFindings, type Pod } from "./pod.ts";
import { linuxProcesses, type MachineProcess, sandboxers, servingShims } from "./processes.ts";
import { bundleInRecord, recordsIn } from "./records.ts";

export interface Places {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly processes?: () => readonly MachineProcess[];
  readonly pipes?: () => readonly string[];
}

/** All pods that this machine knows: served by a shim or a sandboxer, in bundles, or with a record. */
export function findPods({ env, platform, processes = linuxProcesses, pipes }: Places): readonly Pod[] {
  const running = platform === "win32" ? [] : processes();
  const listed = platform === "win32" ? shimPipes(pipes) : servingShims(running);
  const serving: readonly Finding[] = listed ?? [];
  const roots = new Set(usualBundleRoots(env, platform));
  for (const { bundle } of serving) if (bundle !== undefined) roots.add(rootOfBundle(bundle));
  const records = recordsIn(recordFolder(env, platform));
  // A sandboxer keeps bundles wherever its settings say, and only records tell where.
  const inRecords = records.flatMap(({ record }) => bundleInRecord(record) ?? []).flatMap(findingIn);
  const inBundles = [...bundlesBelow([...roots]), ...inRecords];
  const named = serving.map((finding) => {
    const owner = finding.namespace === "" ? inBundles.find(({ socket }) => socket === finding.socket) : undefined;
    return owner === undefined ? finding : { ...finding, namespace: owner.namespace, id: owner.id };
  });
  const hosts = sandboxers(running);
  // Whether somebody serves a socket that a bundle names, only a list of those that are served tells, or a call.
  const known = inBundles.map(({ hostedBy, socket, ...finding }): Finding => {
    const host = hostedBy === undefined ? undefined : hosts.get(hostedBy);
    if (host !== undefined) return { ...finding, ...host, ...(socket !== undefined && { socket }) };
    return listed === undefined && socket !== undefined ? { ...finding, socket } : finding;
  });
  return mergeFindings([...named, ...known, ...records]);
}
