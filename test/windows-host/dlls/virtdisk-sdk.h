/* virtdisk.h, and what mingw-w64's has otherwise than the Windows SDK's. */
#ifndef VIRTDISK_SDK_H
#define VIRTDISK_SDK_H

#include <windows.h>
#include <virtdisk.h>

/*
 * Version 2 as the Windows SDK has it. mingw-w64's header lacks PhysicalSectorSizeInBytes, so that all that follows
 * stands at other places there.
 */
struct create_virtual_disk_parameters_2 {
  CREATE_VIRTUAL_DISK_VERSION Version;
  struct {
    GUID UniqueId;
    ULONGLONG MaximumSize;
    ULONG BlockSizeInBytes;
    ULONG SectorSizeInBytes;
    ULONG PhysicalSectorSizeInBytes;
    PCWSTR ParentPath;
    PCWSTR SourcePath;
    OPEN_VIRTUAL_DISK_FLAG OpenFlags;
    VIRTUAL_STORAGE_TYPE ParentVirtualStorageType;
    VIRTUAL_STORAGE_TYPE SourceVirtualStorageType;
    GUID ResiliencyGuid;
  } Version2;
};

#endif
