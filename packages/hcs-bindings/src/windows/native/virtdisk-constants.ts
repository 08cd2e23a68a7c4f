/** Constants of virtdisk.h. */

/** VIRTUAL_STORAGE_TYPE_DEVICE of disk files. */
export const storageDevices = { vhd: 2, vhdx: 3 } as const;

/** VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT. */
export const microsoftVendor = "ec984aec-a0f9-47e9-901f-71415a66345b";

/** CREATE_VIRTUAL_DISK_FLAG of virtdisk.h, as far as they are used. */
export const createFlags = { none: 0, fullPhysicalAllocation: 0x1 } as const;

/** ATTACH_VIRTUAL_DISK_FLAG of virtdisk.h, as far as they are used. */
export const attachFlags = { readOnly: 0x1, noDriveLetter: 0x2, permanentLifetime: 0x4 } as const;

/** GET_VIRTUAL_DISK_INFO_VERSION. */
export const infoVersions = { size: 1, parentLocation: 3 } as const;

/** SET_VIRTUAL_DISK_INFO_VERSION: what identifies a disk differs between the formats. */
export const setInfoVersions = { vhd: 2, vhdx: 5 } as const;

/** ERROR_VHD_INVALID_TYPE: the disk is not a differencing disk and has no parent. */
export const errorVhdInvalidType = 0xc03a001b;
