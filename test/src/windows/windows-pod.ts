/** Run under Wine: pods behind the shim's executable, with the test host's DLLs in the place of the system's. */
import { copyFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { layersMount } from "@uvm-shim/test-support/layers";
import type { ContainerOptions, Mount, Pod, PodContainer, PodOptions } from "../shim-client/pod.ts";
import { poll } from "../support/wait.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { executable } from "./shim-process.ts";

const { Options } = containerd.runhcs.v1;
const { TaskExit } = containerd.events;
const EVENT_MS = 20_000;

/** How the shim finds its host. */
export function hostEnvironment(libraries = podPaths().libraries): { readonly UVM_SHIM_HOST: string } {
  return { UVM_SHIM_HOST: `libraries:${libraries}` };
}

/** `containerd.runhcs.v1.Options`, encoded. */
export function runtimeOptions(bootFilesRootPath = podPaths().bootFiles): Uint8Array {
  return Options.encode({ bootFilesRootPath }).finish();
}

/** What a pod of its own folder is run with. */
export function podOptions(id: string): PodOptions {
  const directory = path.join(casePaths().directory, id);
  mkdirSync(directory);
  const environment = hostEnvironment();
  return { executable: executable("lcow"), directory, id, environment, runtimeOptions: runtimeOptions() };
}

/** A root file system as containerd's lcow snapshotter gives it: the layer, and a scratch disk of the container's own. */
export function layers(container: string): Mount {
  const { layer, scratchDisk } = podPaths();
  const scratch = path.join(casePaths().directory, `scratch-${container}`);
  mkdirSync(scratch);
  copyFileSync(scratchDisk, path.join(scratch, "sandbox.vhdx"));
  return layersMount(scratch, [layer]);
}

type LayeredContainer = Omit<ContainerOptions, "rootfs">;

export async function startContainer(pod: Pod, options: LayeredContainer): Promise<PodContainer> {
  const container = await pod.createContainer({ ...options, rootfs: [layers(options.id)] });
  await container.start();
  return container;
}

/** Runs a container to its end, and deletes it. */
export async function runToEnd(
  pod: Pod,
  options: LayeredContainer,
): Promise<{ readonly status: number; readonly stdout: Buffer; readonly stderr: Buffer }> {
  const container = await startContainer(pod, options);
  const [output, status] = await Promise.all([container.stdio.output(), container.wait()]);
  const deleted = await container.delete();
  if (deleted !== status) throw new Error(`Delete answers with ${deleted}, Wait with ${status}`);
  return { status, ...output };
}

/** The event of a container's exit, once containerd has it. */
export function exitOf(pod: Pod, container: string) {
  const find = () =>
    pod.sink.events
      .filter(({ topic }) => topic === "/tasks/exit")
      .map(({ value }) => TaskExit.decode(value))
      .find(({ containerId, id }) => containerId === container && id === container);
  return poll(`the exit event of ${container}`, find, { timeoutMs: EVENT_MS });
}
