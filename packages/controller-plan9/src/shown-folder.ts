import { type HostPaths, refusing, type Step } from "@uvm-shim/lifecycle";
import type { Plan9Controller } from "./controller.ts";

/** A folder of the host, or a single file in one, that is shown somewhere in the VM. */
export interface ShownFolder {
  readonly hostPath: string;
  readonly kind: "directory" | "file";
  /** Where the guest shows the folder: for a file, the one that it is in. */
  readonly guestPath: string;
  readonly readOnly: boolean;
}

/** What `showFolder` needs of the VM. */
export interface ShownFolderParts {
  /** Throws where the VM has no Plan9. */
  readonly shares: () => Plan9Controller;
  readonly paths: HostPaths;
}

/** The step that shows a folder of the host in the VM: a share that its guest mounts at the wanted path. */
export function showFolder(folder: ShownFolder, { shares, paths }: ShownFolderParts): readonly Step[] {
  const { hostPath, kind, guestPath, readOnly } = folder;
  let controller: Plan9Controller | undefined;
  let reservation: string | undefined;
  return [
    {
      name: `Plan9 share of ${hostPath} at ${guestPath}`,
      async acquire(signal) {
        if (!/^\/+[^/]/.test(guestPath) || guestPath.split("/").includes("..")) {
          const message = `the path in the guest is ${JSON.stringify(guestPath)}, expected an absolute one below /, without ..`;
          throw refusing("show folder", hostPath)("InvalidArgument", message);
        }
        controller = shares();
        const split = paths.split(hostPath);
        const source = kind === "directory" ? { hostPath } : { hostPath: split.folder, allowedFiles: [split.name] };
        reservation = await controller.reserve({ ...source, guestPath, readOnly });
        await controller.mapToGuest(reservation, signal);
      },
      async release(signal) {
        if (reservation !== undefined) await controller?.unmapFromGuest(reservation, signal);
      },
    },
  ];
}
