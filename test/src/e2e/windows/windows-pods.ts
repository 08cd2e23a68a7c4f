/** Pods of Windows containers, made by the calls of a containerd for Windows. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Mount, Pod, type PodContainer, type PodOptions } from "../../shim-client/pod.ts";
import { type WindowsFields, windowsLayers, windowsSpecs, withWindowsFields } from "../../shim-client/windows-spec.ts";
import type { ProtocolCase, ProtocolCaseContext } from "../cases/protocol.ts";

/** Folders of read-only layers, the topmost first, as containerd's windows snapshotter unpacks them. */
export type Layers = readonly string[];

export interface WindowsCaseContext extends Omit<ProtocolCaseContext, "images"> {
  readonly layers: Layers;
}

export interface WindowsCase extends Omit<ProtocolCase, "run"> {
  readonly run: (context: WindowsCaseContext) => Promise<void>;
}

const SIGKILL = 9;

/** The root of a container or of a pod's own task: its scratch disk is made by the shim. */
export function layersMount({ directory, layers }: WindowsCaseContext, id: string): readonly Mount[] {
  const source = join(directory, `scratch-${id}`);
  mkdirSync(source, { recursive: true });
  return [windowsLayers(source, layers)];
}

export type WindowsPodOptions = Pick<PodOptions, "runtimeOptions" | "annotations" | "networkNamespace" | "form">;

export function podOptions(context: WindowsCaseContext, options: WindowsPodOptions = {}): PodOptions {
  const { executable, environment, directory, signal } = context;
  const { form = "Task API" } = options;
  return {
    ...{ executable, environment, directory, signal, id: "pod", specs: windowsSpecs, ...options, form },
    ...(form === "Task API" && { rootfs: layersMount(context, "pod") }),
  };
}

export async function withWindowsPod(
  context: WindowsCaseContext,
  work: (pod: Pod) => Promise<void>,
  options: WindowsPodOptions = {},
): Promise<void> {
  const pod = await Pod.run(podOptions(context, options));
  try {
    await work(pod);
    await pod.remove();
  } finally {
    await pod.abandon();
  }
}

export interface WindowsContainerOptions {
  readonly id?: string;
  readonly terminal?: boolean;
  readonly environment?: readonly string[];
  /** Further fields of the process. */
  readonly fields?: object;
  readonly specification?: WindowsFields;
}

/** A container of the suite's layers, whose first process has this command line. */
export async function createContainer(
  context: WindowsCaseContext,
  pod: Pod,
  commandLine: string,
  { id = "c1", terminal = false, environment = [], fields, specification = {} }: WindowsContainerOptions = {},
): Promise<PodContainer> {
  return await pod.createContainer({
    ...{ id, terminal, environment, args: [] },
    fields: { args: undefined, commandLine, ...fields },
    rootfs: layersMount(context, id),
    change: withWindowsFields(specification),
  });
}

/** A pod with one container, which runs; after the work it is killed and deleted. */
export async function withWindowsContainer(
  context: WindowsCaseContext,
  commandLine: string,
  work: (container: PodContainer, pod: Pod) => Promise<void>,
  options: WindowsContainerOptions & { readonly pod?: WindowsPodOptions } = {},
): Promise<void> {
  await withWindowsPod(
    context,
    async (pod) => {
      const container = await createContainer(context, pod, commandLine, options);
      await container.start();
      await work(container, pod);
      // The work may have ended it.
      await container.kill(SIGKILL).catch(() => undefined);
      await container.wait();
      await container.delete();
    },
    options.pod,
  );
}

/** Runs a case in a directory of its own. */
export async function runWindowsCase(one: WindowsCase, context: WindowsCaseContext): Promise<void> {
  mkdirSync(context.directory);
  try {
    await one.run(context);
  } finally {
    rmSync(context.directory, { recursive: true, force: true });
  }
}
