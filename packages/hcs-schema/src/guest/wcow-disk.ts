import { type Check, closedObject, filledText, integer } from "../check.ts";
import { lunsPerScsiController } from "../wellknown.ts";

/**
 * A disk for a Windows guest to mount: settings of MappedVirtualDisk, and of MappedVirtualDiskForContainerScratch,
 * which formats it first. The guest finds the disk by its LUN alone.
 */
export interface WindowsMappedVirtualDisk {
  readonly ContainerPath: string;
  readonly Lun: number;
}

/** A disk to mount as a Windows guest reads it: LUNs go from 0 to 63, all on the first controller. */
export const checkWindowsMappedVirtualDisk: Check<WindowsMappedVirtualDisk> = closedObject<WindowsMappedVirtualDisk>({
  ContainerPath: filledText,
  Lun: integer(0, lunsPerScsiController - 1),
});
