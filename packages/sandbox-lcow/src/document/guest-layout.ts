import { linuxGuestPaths, lunsPerScsiController } from "@uvm-shim/hcs-schema";

/** Where things stand inside the guest of one VM. */
export interface LinuxGuestLayout {
  /** Where a disk is mounted that asks for no place of its own. No two of a VM's mounts have one in common. */
  diskPath(slot: { readonly controller: number; readonly lun: number }, mount: DiskPlacement): string;
  placesOf(container: { readonly id: string; readonly podId: string }): LinuxContainerPlaces;
}

export interface DiskPlacement {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  readonly blockDevice?: boolean;
}

/** The names and places of one container in the guest. */
export interface LinuxContainerPlaces {
  /** By which the guest knows the container, and the pod's sandbox. */
  readonly id: string;
  readonly podId: string;
  readonly bundle: string;
  /** What the container has that others may have as well; absent where it shares their place. */
  readonly own?: {
    /** Of a scratch disk that stands nowhere yet. */
    readonly scratchDisk: string;
    /** Named also where there is no scratch disk. */
    readonly scratch: string;
    /** Of an image that is the root file system. */
    readonly root: string;
    /** Absent where shares may stand in common. */
    share?(index: number): string;
  };
  /** The directory on a scratch disk that stands at `diskPath`. */
  scratchOn(diskPath: string): string;
}

/** As microsoft/hcsshim's newer shims have it (internal/controller/linuxcontainer). */
export const ordinaryGuestLayout: LinuxGuestLayout = {
  diskPath: ({ controller, lun }, { partition }) => `${linuxGuestPaths.scsiMounts}/${controller}/${lun}/${partition}`,
  placesOf: ({ id, podId }) => ({
    id,
    podId,
    bundle: `${linuxGuestPaths.containerRoot}/${podId}/${id}`,
    scratchOn: (diskPath) => `${diskPath}/scratch/${podId}/${id}`,
  }),
};

const slotsOfVm = 4 * lunsPerScsiController;

/** Of policies that allow every share: the rule that says nothing else, or all that the policy says. */
const allowsShares = /^[^\S\n\r\u2028\u2029]*plan9_mount\s*:=\s*\{\s*"allowed"\s*:\s*true\s*\}\s*$/m;
const allowsAll = /^\s*\{\s*"allow_all"\s*:\s*true\s*\}\s*$/;

/**
 * As a guest with a security policy demands it (internal/guest/runtime/hcsv2 and pkg/securitypolicy of
 * microsoft/hcsshim), and as the shims that it was made for have it (internal/hcsoci and internal/layers). The folder of
 * a container is no good place for shares, whose files the guest deletes when it fails to make the container: they stand
 * there only where the policy has rules for them, which may demand it, as those of the framework do.
 */
export function policyGuestLayout(sha256: (text: string) => string, policy = ""): LinuxGuestLayout {
  const isFree = allowsShares.test(policy) || allowsAll.test(policy);
  const { policyContainerRoot: root, scsiMounts } = linuxGuestPaths;
  // The guest takes no other ids; the same id must always lead to the same name.
  const guestId = (id: string): string => (/^[0-9a-f]{64}$/i.test(id) ? id : sha256(`container ${id}`));
  return {
    diskPath({ controller, lun }, { partition, readOnly, blockDevice = false }) {
      const number = controller * lunsPerScsiController + lun + partition * slotsOfVm;
      // What can be written to stands where a container could, as its scratch disk does.
      return readOnly || blockDevice ? `${scsiMounts}/m${number}` : `${root}/${sha256(`disk ${number}`)}`;
    },
    placesOf(container) {
      const id = guestId(container.id);
      const bundle = `${root}/${id}`;
      return {
        id,
        podId: guestId(container.podId),
        bundle,
        own: {
          scratchDisk: bundle,
          scratch: `${bundle}/scratch/${id}`,
          root: `${bundle}/rootfs`,
          ...(isFree ? {} : { share: (index: number) => `${bundle}/mounts/m${index}` }),
        },
        scratchOn: (diskPath) => `${diskPath}/scratch/${id}`,
      };
    },
  };
}
