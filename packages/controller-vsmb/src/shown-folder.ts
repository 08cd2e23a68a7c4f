import { refusing, type Step } from "@uvm-shim/lifecycle";
import type { VsmbController } from "./shares.ts";

/** A folder of the host that is shown somewhere in the VM. */
export interface ShownFolder {
  readonly hostPath: string;
  readonly kind: "directory" | "file";
  readonly guestPath: string;
  readonly readOnly: boolean;
}

/** What `showFolder` needs of the VM. */
export interface ShownFolderParts {
  /** Throws where the VM has no VSMB. */
  readonly shares: () => VsmbController;
  /** Throws while there is no guest. */
  readonly guest: () => {
    mapDirectory(
      directory: { readonly HostPath: string; readonly ContainerPath: string; readonly ReadOnly: boolean },
      signal?: AbortSignal,
    ): Promise<void>;
  };
}

/**
 * The step that shows a folder of the host in the VM: a share, for which the guest makes another path. No request undoes
 * the path: it ends with the VM.
 */
export function showFolder(folder: ShownFolder, { shares, guest }: ShownFolderParts): readonly Step[] {
  const { hostPath, kind, guestPath, readOnly } = folder;
  const refuse = refusing("show folder", hostPath);
  let controller: VsmbController | undefined;
  let reservation: string | undefined;
  return [
    {
      name: `VSMB share of ${hostPath} at ${guestPath}`,
      async acquire(signal) {
        if (kind === "file") {
          throw refuse(
            "InvalidArgument",
            "it is a file, expected a folder: Windows guests show only folders elsewhere",
          );
        }
        if (!/^[a-z]:[\\/]+[^\\/]/i.test(guestPath)) {
          const message = `the path in the guest is ${JSON.stringify(guestPath)}, expected a folder such as C:\\shared`;
          throw refuse("InvalidArgument", message);
        }
        controller = shares();
        reservation = await controller.reserve({ hostPath, kind, readOnly });
        const HostPath = await controller.mapToGuest(reservation, signal);
        await guest().mapDirectory({ HostPath, ContainerPath: guestPath, ReadOnly: readOnly }, signal);
      },
      async release(signal) {
        if (reservation !== undefined) await controller?.unmapFromGuest(reservation, signal);
      },
    },
  ];
}
