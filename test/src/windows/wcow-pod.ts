/** Run under Wine: pods of Windows containers behind the shim's executable, made by the calls of containerd for Windows. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Mount, Pod, PodContainer, PodOptions } from "../shim-client/pod.ts";
import {
  utilityVmOptions,
  type WindowsFields,
  windowsLayers,
  windowsSpecs,
  withWindowsFields,
} from "../shim-client/windows-spec.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { executable } from "./shim-process.ts";
import { hostEnvironment } from "./windows-pod.ts";

/** The root of a container, or of a pod's own task; the shim makes its scratch disk. */
function layersOf(pod: string, container: string): readonly Mount[] {
  const source = path.join(casePaths().directory, `${pod}-${container}-scratch`);
  mkdirSync(source);
  return [windowsLayers(source, podPaths().windowsLayers)];
}

function commonOptions(id: string): PodOptions {
  const directory = path.join(casePaths().directory, id);
  mkdirSync(directory);
  return { executable: executable("wcow"), directory, id, environment: hostEnvironment(), specs: windowsSpecs };
}

/** A classic pod: its sandbox is a task of its own, whose layers have the files of its VM. */
export function wcowPodOptions(id: string): PodOptions {
  return { ...commonOptions(id), form: "Task API", rootfs: layersOf(id, "sandbox") };
}

/** A pod by the Sandbox API, which has no layers; its VM's files are in that folder, if any. */
export function sandboxPodOptions(id: string, utilityVm?: string): PodOptions {
  const runtimeOptions = utilityVm === undefined ? undefined : utilityVmOptions(utilityVm);
  return { ...commonOptions(id), form: "Sandbox API", ...(runtimeOptions && { runtimeOptions }) };
}

export interface WindowsContainer {
  readonly id: string;
  readonly commandLine: string;
  readonly terminal?: boolean;
  /** Further fields of the process. */
  readonly process?: object;
  readonly specification?: WindowsFields;
}

export async function startWindows(
  pod: Pod,
  { id, commandLine, terminal = false, process: fields = {}, specification = {} }: WindowsContainer,
): Promise<PodContainer> {
  const container = await pod.createContainer({
    ...{ id, terminal, args: [], fields: { args: undefined, commandLine, ...fields } },
    rootfs: layersOf(pod.identity.id, id),
    change: withWindowsFields(specification),
  });
  await container.start();
  return container;
}

/** Ends a container that runs, and deletes it. */
export async function endWindows(container: PodContainer): Promise<void> {
  await container.kill(9);
  await container.wait();
  await container.delete();
}
