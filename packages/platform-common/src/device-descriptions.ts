import type { DeviceDescriptions } from "@uvm-shim/shim";

/** The device controllers of a VM, as far as they have been made: satisfied by those of packages/controller-*. */
export interface DeviceViews {
  readonly scsi?:
    | {
        readonly disks: readonly (Omit<DeviceDescriptions["disks"][number], "mounts"> & {
          readonly mounts: readonly {
            readonly guestPath: string;
            readonly partition: number;
            readonly state: string;
            readonly holders: readonly string[];
          }[];
        })[];
      }
    | undefined;
  readonly plan9?: { readonly shares: readonly (ShareView & { readonly mount: string })[] } | undefined;
  readonly vsmb?: { readonly shares: readonly ShareView[] } | undefined;
  readonly pipes?: { readonly pipes: readonly Omit<ShareView, "name">[] } | undefined;
  readonly vpci?: { readonly devices: DeviceDescriptions["devices"] } | undefined;
  readonly network?: { describe(): DeviceDescriptions["networks"][number] | undefined };
}

interface ShareView {
  readonly hostPath: string;
  readonly name: string;
  readonly state: string;
  readonly holders: number;
}

/** The devices of a VM at one moment, as the shim's diagnosis shows them; asks nobody. */
export function describeDevices({ scsi, plan9, vsmb, pipes, vpci, network }: DeviceViews): DeviceDescriptions {
  const described = network?.describe();
  return {
    disks: (scsi?.disks ?? []).map(({ hostPath, controller, lun, state, isOfDocument, mounts }) => ({
      ...{ hostPath, controller, lun, state, isOfDocument },
      mounts: mounts.map(({ holders, ...mount }) => ({ ...mount, holders: holders.length })),
    })),
    shares: [
      ...(plan9?.shares ?? []).map((share) => ({ kind: "plan9" as const, ...shareOf(share), mount: share.mount })),
      ...(vsmb?.shares ?? []).map((share) => ({ kind: "vsmb" as const, ...shareOf(share) })),
      ...(pipes?.pipes ?? []).map(({ hostPath, state, holders }) => ({
        ...{ kind: "pipe" as const, hostPath, state, holders },
      })),
    ],
    networks: described === undefined ? [] : [described],
    devices: vpci?.devices ?? [],
  };
}

function shareOf({ hostPath, name, state, holders }: ShareView): ShareView {
  return { hostPath, name, state, holders };
}
