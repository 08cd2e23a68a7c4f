import { copyFile } from "node:fs/promises";
import type { PodVm } from "@uvm-shim/controller-pod";
import type { WindowsConfidentialSettings } from "@uvm-shim/sandbox-wcow";
import { makeDirectories } from "@uvm-shim/shim";
import { removeOwnFiles } from "./own-files.ts";

export interface VmFiles {
  readonly bundle: string;
  /** What is kept of the VM's files, for those who debug it. */
  readonly preserved: WindowsConfidentialSettings["preserved"];
  readonly warn: (sentence: string, fields?: { readonly [key: string]: unknown }) => void;
}

/** The VM as its pod sees it: when it has ended, the files that only it used go too. */
export function vmOfPod(vm: PodVm, { bundle, preserved, warn }: VmFiles): PodVm {
  let isPreserved = preserved === undefined;
  const preserve = async (): Promise<void> => {
    if (preserved === undefined || isPreserved) return;
    isPreserved = true;
    try {
      await makeDirectories(preserved.folder);
      for (const { from, to } of preserved.copies) await copyFile(from, to);
    } catch (error) {
      warn("the VM's disks are not preserved", { folder: preserved.folder, error: String(error) });
    }
  };
  return {
    start: (signal) => vm.start(signal),
    wait: (signal) => vm.wait(signal),
    async terminate(signal) {
      await vm.terminate(signal);
      await preserve();
      await removeOwnFiles(bundle);
    },
    update: (update, signal) => vm.update(update, signal),
    get memoryInMb() {
      return vm.memoryInMb;
    },
    statistics: (signal) => vm.statistics(signal),
    get startedAt() {
      return vm.startedAt;
    },
    get isLost() {
      return vm.isLost;
    },
    dumpStacks: (signal) => vm.dumpStacks(signal),
    properties: (signal) => vm.properties(signal),
    describe: () => vm.describe(),
  };
}
