import { readdirSync } from "node:fs";
import path from "node:path";
import { readState } from "@uvm-shim/shim/state-file";
import type { Finding } from "./pod.ts";

/** Where containerd keeps bundles unless its configuration says otherwise, each with a folder for each namespace. */
export function usualBundleRoots(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): readonly string[] {
  const inState = "io.containerd.runtime.v2.task";
  if (platform === "win32") {
    return [path.win32.join(env.ProgramData || String.raw`C:\ProgramData`, "containerd", "state", inState)];
  }
  return ["/run/containerd", "/run/k3s/containerd"].map((state) => path.join(state, inState));
}

/** The root in which a bundle is, as containerd lays them out: `<root>/<namespace>/<id>`. */
export function rootOfBundle(bundle: string): string {
  return path.dirname(path.dirname(bundle));
}

/** What the state files in bundles tell, also of shims that have ended: nobody may serve the socket any more. */
export function bundlesBelow(roots: readonly string[]): readonly Finding[] {
  return roots.flatMap((root) =>
    foldersIn(root).flatMap((namespace) => foldersIn(namespace).flatMap((bundle) => findingOf(bundle))),
  );
}

function findingOf(bundle: string): readonly Finding[] {
  const state = readState(bundle);
  if (state === undefined) return [];
  const { namespace, id, socket } = state;
  if (state.kind === "member") return [{ namespace, id: state.sandboxId, socket, members: [id] }];
  return [{ namespace, id, bundle, socket }];
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
