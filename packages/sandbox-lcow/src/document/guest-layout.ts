import { linuxGuestPaths, lunsPerScsiController } from "@uvm-shim/hcs-schema";

/** Paths inside the guest of one VM. */
export interface LinuxGuestLayout {
  /** Default path of a disk; different for every mount of a VM. */
  diskPath(slot: { readonly controller: number; readonly lun: number }, mount: DiskPlacement): string;
  placesOf(container: { readonly id: string; readonly podId: string }): LinuxContainerPlaces;
}

/** What of a disk's mount decides where it stands in the guest. */
export interface DiskPlacement {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  readonly blockDevice?: boolean;
}

/** The ids and paths of one container in the guest. */
export interface LinuxContainerPlaces {
  /** The guest's ids of the container and of the pod's sandbox. */
  readonly id: string;
  readonly podId: string;
  readonly bundle: string;
  /** Paths of the container's own; absent where containers use common paths. */
  readonly own?: {
    /** For a scratch disk that is not mounted yet. */
    readonly scratchDisk: string;
    /** Set even without a scratch disk. */
    readonly scratch: string;
    /** For an image that is the root file system. */
    readonly root: string;
    /** For a share; absent where shares use common paths. */
    share?(index: number): string;
  };
  /** The container's directory on a scratch disk that is mounted at `diskPath`. */
  scratchOn(diskPath: string): string;
}

/** The layout of microsoft/hcsshim's newer shims (internal/controller/linuxcontainer). */
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

/** Policies that allow every share: by a rule of its own, or by allowing everything. */
const allowsShares = /^[^\S\n\r\u2028\u2029]*plan9_mount\s*:=\s*\{\s*"allowed"\s*:\s*true\s*\}\s*$/m;
const allowsAll = /^\s*\{\s*"allow_all"\s*:\s*true\s*\}\s*$/;

/**
 * The layout that a guest with a security policy requires (internal/guest/runtime/hcsv2 and pkg/securitypolicy of
 * microsoft/hcsshim), as the shims for it have it (internal/hcsoci and internal/layers). Shares are in the container's
 * folder only if the policy has rules for them, which may require that: the guest deletes all files there when it fails
 * to create the container.
 */
export function policyGuestLayout(sha256: (text: string) => string, policy = ""): LinuxGuestLayout {
  const isFree = allowsShares.test(policy) || allowsAll.test(policy);
  const { policyContainerRoot: root, scsiMounts } = linuxGuestPaths;
  // The guest accepts only ids of this form; the mapping must be deterministic.
  const guestId = (id: string): string => (/^[0-9a-f]{64}$/i.test(id) ? id : sha256(`container ${id}`));
  return {
    diskPath({ controller, lun }, { partition, readOnly, blockDevice = false }) {
      const number = controller * lunsPerScsiController + lun + partition * slotsOfVm;
      // Writable disks are mounted where a container's folder could be, as scratch disks are.
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
