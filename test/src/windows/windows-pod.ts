/** Run under Wine: pods behind the shim's executable, with the test host's DLLs in the place of the system's. */
import { copyFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { type ContainerOptions, type Mount, Pod, type PodContainer, type PodOptions } from "../shim-client/pod.ts";
import { layersMount } from "../support/layers.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { executable } from "./shim-process.ts";

const { Options } = containerd.runhcs.v1;

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

export function createContainer(pod: Pod, options: Omit<ContainerOptions, "rootfs">): Promise<PodContainer> {
  return pod.createContainer({ ...options, rootfs: [layers(options.id)] });
}
