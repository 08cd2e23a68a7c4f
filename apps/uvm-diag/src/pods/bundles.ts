import { readdirSync } from "node:fs";
import path from "node:path";
import { readState } from "@uvm-shim/shim/state-file";
import type { Finding } from "./pod.ts";

/** What the state file in a bundle tells. */
export interface BundleFinding extends Finding {
  /** The process of the sandboxer that serves the pod; absent if a process of its own does. */
  readonly hostedBy?: number;
}

/**
 * Where containerd and sandboxers keep bundles unless their configuration says otherwise, each with a folder for each
 * namespace.
 */
export function usualBundleRoots(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): readonly string[] {
  const inState = "io.containerd.runtime.v2.task";
  const flavours = ["lcow", "wcow"];
  if (platform === "win32") {
    const data = env.ProgramData || String.raw`C:\ProgramData`;
    const ofSandboxers = flavours.map((flavour) => path.win32.join(data, "uvm-shim", "sandboxer", flavour));
    return [path.win32.join(data, "containerd", "state", inState), ...ofSandboxers];
  }
  return [
    ...["/run/containerd", "/run/k3s/containerd"].map((state) => path.join(state, inState)),
    ...flavours.map((flavour) => `/run/uvm-shim/sandboxer/${flavour}`),
  ];
}

/** The root in which a bundle is, as containerd lays them out: `<root>/<namespace>/<id>`. */
export function rootOfBundle(bundle: string): string {
  return path.dirname(path.dirname(bundle));
}

/** What the state files in bundles tell, also of shims that have ended: nobody may serve the socket any more. */
export function bundlesBelow(roots: readonly string[]): readonly BundleFinding[] {
  return roots.flatMap((root) => foldersIn(root).flatMap((namespace) => foldersIn(namespace).flatMap(findingIn)));
}

/** The same of one bundle; none where there is no state file. */
export function findingIn(bundle: string): readonly BundleFinding[] {
  const state = readState(bundle);
  if (state === undefined) return [];
  const { namespace, id, socket } = state;
  if (state.kind === "member") return [{ namespace, id: state.sandboxId, socket, members: [id] }];
  return [{ namespace, id, bundle, socket, ...(state.kind === "hosted" && { hostedBy: state.pid }) }];
}

function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => path.join(folder, name));
  } catch {
    return [];
  }
}
