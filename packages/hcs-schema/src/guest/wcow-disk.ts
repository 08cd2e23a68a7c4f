import { type Check, closedObject, filledText, integer } from "../check.ts";
import { lunsPerScsiController } from "../wellknown.ts";

/**
 * A disk as a Windows guest is to mount it: settings of MappedVirtualDisk, and of
 * MappedVirtualDiskForContainerScratch, which formats it first. The guest finds it by its LUN alone.
 */
export interface WindowsMappedVirtualDisk {
  readonly ContainerPath: string;
  readonly Lun: number;
}

export const checkWindowsMappedVirtualDisk: Check<WindowsMappedVirtualDisk> = closedObject<WindowsMappedVirtualDisk>({
  ContainerPath: filledText,
  Lun: integer(0, lunsPerScsiController - 1),
});
