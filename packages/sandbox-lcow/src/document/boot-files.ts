import { type ComputeSystemDocument, scsiControllerGuids } from "@uvm-shim/hcs-schema";

/** Paths of the host that a VM of this document boots from: its kernel, and what its root file system is in. */
export function bootFilesOf({ VirtualMachine: { Chipset, Devices } }: ComputeSystemDocument): readonly string[] {
  const { LinuxKernelDirect: direct, Uefi: uefi } = Chipset;
  const folder = uefi?.BootThis?.VmbFsRootPath;
  const disks = scsiControllerGuids.flatMap((guid) => Object.values(Devices?.Scsi?.[guid]?.Attachments ?? {}));
  return [
    direct?.KernelFilePath,
    direct?.InitRdPath,
    // The firmware reads what the command line names too.
    ...(folder === undefined ? [] : ["kernel", "initrd.img"].map((name) => `${folder}\\${name}`)),
    ...disks.map(({ Path }) => Path),
  ].filter((path) => path !== undefined);
}
