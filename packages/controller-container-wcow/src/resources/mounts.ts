import { reservedStep } from "@uvm-shim/container-common";
import type { Step } from "@uvm-shim/lifecycle";
import type { MountPlan } from "../plan/mount-plan.ts";
import type { ContainerDisks, ContainerGuest, ContainerPipes, ContainerShares, ContainerVm } from "../types.ts";
import { quoted, succeedInVm } from "./command.ts";

/** What mounts need of the VM. */
export interface MountSurroundings {
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly pipes: ContainerPipes;
  readonly vm: ContainerVm;
}

/** Folders that mounts expect in the guest, which has no request that makes them. They end with the VM. */
export function folderSteps(folders: readonly string[], guest: ContainerGuest): readonly Step[] {
  return folders.map((folder) => ({
    name: `folder ${folder} of the VM`,
    async acquire(signal) {
      const path = quoted(folder);
      // The folder may be another container's already; whether it is there in the end is what counts.
      await succeedInVm(guest, `cmd /c mkdir ${path} & dir ${path}`, signal);
    },
    release: async () => {},
  }));
}

/** When acquired, a step sets `paths[i]` to the path in the guest. */
export function mountSteps(
  plans: readonly MountPlan[],
  surroundings: MountSurroundings,
  paths: (string | undefined)[],
): readonly Step[] {
  return plans.flatMap((plan, index) => {
    const onMapped = (path: string): void => {
      paths[index] = path;
    };
    return mountStep(plan, surroundings, onMapped);
  });
}

function mountStep(
  plan: MountPlan,
  { disks, shares, pipes, vm }: MountSurroundings,
  onMapped: (path: string) => void,
): readonly Step[] {
  switch (plan.kind) {
    case "guest-folder":
    case "guest-pipe":
      return [];
    case "share": {
      const { hostPath, what, readOnly } = plan;
      const reserve = () => shares.reserve({ hostPath, kind: what, readOnly });
      return [reservedStep(`share of ${hostPath}`, shares, reserve, onMapped)];
    }
    case "host-pipe":
      return [reservedStep(`pipe ${plan.hostPath}`, pipes, () => pipes.reserve(plan.hostPath), onMapped)];
    case "disk": {
      const { disk, needsGrant } = plan;
      const reserve = async (signal?: AbortSignal): Promise<string> => {
        if (needsGrant) await vm.grantVmAccess(disk.hostPath, signal);
        return await disks.reserve(disk, { readOnly: disk.readOnly });
      };
      return [reservedStep(`disk ${disk.hostPath}`, disks, reserve, onMapped)];
    }
  }
}
