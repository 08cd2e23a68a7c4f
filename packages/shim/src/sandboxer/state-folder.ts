/** What a sandboxer keeps on disk of the pods that it makes itself: a bundle each, by namespace and id. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { readState, type ShimState } from "../program/state-file.ts";
import type { PodName } from "./registry.ts";

/** The ids of a pod's tasks, a line each. */
export const tasksFile = "tasks";

/** Where a pod's bundle is in the folder. */
export function bundleIn(folder: string, { namespace, id }: PodName): string {
  return path.join(folder, namespace, id);
}

/** A bundle of a pod that is served no longer. */
export interface LeftBundle {
  readonly name: PodName;
  readonly bundle: string;
  /** Undefined for one that was not served yet. */
  readonly state: ShimState | undefined;
  readonly createdAt: Date;
  readonly tasks: readonly string[];
}

/**
 * All that are there; none if the folder is not. One that cannot be read is told of and left: the others have to be
 * ended all the same.
 */
export function leftBundles(
  folder: string,
  onUnreadable: (path: string, error: unknown) => void,
): readonly LeftBundle[] {
  const orTold = <T>(path: string, read: () => readonly T[]): readonly T[] => {
    try {
      return read();
    } catch (error) {
      onUnreadable(path, error);
      return [];
    }
  };
  return orTold(folder, () => foldersIn(folder)).flatMap((namespace) =>
    orTold(path.join(folder, namespace), () => foldersIn(path.join(folder, namespace))).flatMap((id) => {
      const name = { namespace, id };
      return orTold(bundleIn(folder, name), () => [leftBundle(folder, name)]);
    }),
  );
}

/** That of one pod. Throws the system's error. */
export function leftBundle(folder: string, name: PodName): LeftBundle {
  const bundle = bundleIn(folder, name);
  return {
    ...{ name, bundle, state: readState(bundle) },
    ...{ createdAt: statSync(bundle).birthtime, tasks: tasksIn(bundle) },
  };
}

function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function tasksIn(bundle: string): readonly string[] {
  try {
    return readFileSync(path.join(bundle, tasksFile), "utf8")
      .split("\n")
      .filter((id) => id !== "");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
