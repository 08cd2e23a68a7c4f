/*
 * virtdisk.dll of the test host: the functions of virtdisk.h that the driver calls, answered by the relay. The handle of
 * a virtual disk is one of its file; what else there is to know of the disk the relay knows.
 */
/* windows.h includes virtdisk.h, which imports what is made here: it comes later, and without the import. */
#define _INC_VIRTDISK
#include "testhost.h"
#undef _INC_VIRTDISK
#undef DECLSPEC_IMPORT
#define DECLSPEC_IMPORT
#include <initguid.h>
#include <objbase.h>
#include "virtdisk-sdk.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* The Win32 error of an HRESULT that stands for one; those of virtual disks are codes of their own. */
static DWORD error_of(HRESULT result) {
  return HRESULT_FACILITY(result) == FACILITY_WIN32 ? (DWORD)HRESULT_CODE(result) : (DWORD)result;
}

static DWORD ask(PWSTR *document, PCSTR function, int count, const PCWSTR *arguments) {
  return error_of(host()->call(document, function, count, arguments));
}

static BOOL path_of(HANDLE disk, WCHAR path[MAX_PATH]) {
  DWORD length = GetFinalPathNameByHandleW(disk, path, MAX_PATH, VOLUME_NAME_DOS);
  return length > 0 && length < MAX_PATH;
}

/* Asks about an open disk. */
static DWORD ask_disk(PWSTR *document, PCSTR function, HANDLE disk, ULONG64 value) {
  WCHAR path[MAX_PATH];
  struct number text = number(value);
  if (!path_of(disk, path)) return ERROR_INVALID_HANDLE;
  return ask(document, function, 2, (PCWSTR[]){path, text.text});
}

static DWORD open_file(PCWSTR path, HANDLE *handle) {
  *handle = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                        NULL, OPEN_EXISTING, 0, NULL);
  if (*handle == INVALID_HANDLE_VALUE) {
    *handle = NULL;
    return GetLastError();
  }
  host()->track(VIRTUAL_DISKS, *handle, 1);
  return ERROR_SUCCESS;
}

DWORD WINAPI CreateVirtualDisk(PVIRTUAL_STORAGE_TYPE type, PCWSTR path, VIRTUAL_DISK_ACCESS_MASK access,
                               PSECURITY_DESCRIPTOR security, CREATE_VIRTUAL_DISK_FLAG flags, ULONG provider_flags,
                               PCREATE_VIRTUAL_DISK_PARAMETERS parameters, LPOVERLAPPED overlapped, PHANDLE handle) {
  (void)security, (void)provider_flags;
  *handle = NULL;
  if (overlapped != NULL) return ERROR_NOT_SUPPORTED;
  if (parameters->Version != CREATE_VIRTUAL_DISK_VERSION_2 || access != VIRTUAL_DISK_ACCESS_NONE)
    return ERROR_INVALID_PARAMETER;
  const struct create_virtual_disk_parameters_2 *asked = (const void *)parameters;
  (void)type, (void)flags;
  struct number size = number(asked->Version2.MaximumSize), block = number(asked->Version2.BlockSizeInBytes),
                sector = number(asked->Version2.SectorSizeInBytes);
  DWORD error = ask(NULL, "CreateVirtualDisk", 6,
                    (PCWSTR[]){path, size.text, block.text, sector.text, asked->Version2.ParentPath,
                               asked->Version2.SourcePath});
  return error == ERROR_SUCCESS ? open_file(path, handle) : error;
}

DWORD WINAPI OpenVirtualDisk(PVIRTUAL_STORAGE_TYPE type, PCWSTR path, VIRTUAL_DISK_ACCESS_MASK access,
                             OPEN_VIRTUAL_DISK_FLAG flags, POPEN_VIRTUAL_DISK_PARAMETERS parameters, PHANDLE handle) {
  *handle = NULL;
  if (parameters != NULL && parameters->Version == OPEN_VIRTUAL_DISK_VERSION_2 && access != VIRTUAL_DISK_ACCESS_NONE)
    return ERROR_INVALID_PARAMETER;
  (void)type, (void)flags;
  BOOL inspects = parameters != NULL && parameters->Version == OPEN_VIRTUAL_DISK_VERSION_2 &&
                  parameters->Version2.GetInfoOnly;
  DWORD error = ask(NULL, "OpenVirtualDisk", 2, (PCWSTR[]){path, inspects ? L"inspect" : L"open"});
  return error == ERROR_SUCCESS ? open_file(path, handle) : error;
}

DWORD WINAPI AttachVirtualDisk(HANDLE disk, PSECURITY_DESCRIPTOR security, ATTACH_VIRTUAL_DISK_FLAG flags,
                               ULONG provider_flags, PATTACH_VIRTUAL_DISK_PARAMETERS parameters,
                               LPOVERLAPPED overlapped) {
  (void)security, (void)provider_flags, (void)parameters;
  return overlapped != NULL ? ERROR_NOT_SUPPORTED : ask_disk(NULL, "AttachVirtualDisk", disk, flags);
}

DWORD WINAPI DetachVirtualDisk(HANDLE disk, DETACH_VIRTUAL_DISK_FLAG flags, ULONG provider_flags) {
  (void)provider_flags;
  return ask_disk(NULL, "DetachVirtualDisk", disk, flags);
}

DWORD WINAPI ExpandVirtualDisk(HANDLE disk, EXPAND_VIRTUAL_DISK_FLAG flags, PEXPAND_VIRTUAL_DISK_PARAMETERS parameters,
                               LPOVERLAPPED overlapped) {
  (void)flags;
  if (overlapped != NULL) return ERROR_NOT_SUPPORTED;
  if (parameters->Version != EXPAND_VIRTUAL_DISK_VERSION_1) return ERROR_INVALID_PARAMETER;
  return ask_disk(NULL, "ExpandVirtualDisk", disk, parameters->Version1.NewSize);
}

DWORD WINAPI SetVirtualDiskInformation(HANDLE disk, PSET_VIRTUAL_DISK_INFO information) {
  WCHAR path[MAX_PATH], id[40];
  struct number version = number(information->Version);
  if (information->Version != SET_VIRTUAL_DISK_INFO_IDENTIFIER && information->Version != SET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID)
    return ERROR_NOT_SUPPORTED;
  if (!path_of(disk, path)) return ERROR_INVALID_HANDLE;
  StringFromGUID2(&information->UniqueIdentifier, id, 40);
  return ask(NULL, "SetVirtualDiskInformation", 3, (PCWSTR[]){path, version.text, id});
}

DWORD WINAPI GetVirtualDiskInformation(HANDLE disk, PULONG size, PGET_VIRTUAL_DISK_INFO information, PULONG used) {
  PWSTR document = NULL;
  ULONG needed = sizeof *information;
  if (*size < needed) return ERROR_INSUFFICIENT_BUFFER;
  GET_VIRTUAL_DISK_INFO_VERSION version = information->Version;
  DWORD error = ask_disk(&document, "GetVirtualDiskInformation", disk, version);
  if (error == ERROR_SUCCESS && version == GET_VIRTUAL_DISK_INFO_SIZE) {
    unsigned long long virtual_size, physical_size;
    swscanf(document, L"%llu %llu %lu %lu", &virtual_size, &physical_size, &information->Size.BlockSize,
            &information->Size.SectorSize);
    information->Size.VirtualSize = virtual_size;
    information->Size.PhysicalSize = physical_size;
  } else if (error == ERROR_SUCCESS && version == GET_VIRTUAL_DISK_INFO_PARENT_LOCATION) {
    /* "1 " or "0 " for whether it is there, its path, and an empty one for the end. */
    PCWSTR path = document + 2;
    needed = (ULONG)(offsetof(GET_VIRTUAL_DISK_INFO, ParentLocation.ParentLocationBuffer) +
                     (wcslen(path) + 2) * sizeof(WCHAR));
    if (*size < needed) error = ERROR_INSUFFICIENT_BUFFER;
    else {
      memset(information->ParentLocation.ParentLocationBuffer, 0,
             needed - offsetof(GET_VIRTUAL_DISK_INFO, ParentLocation.ParentLocationBuffer));
      wcscpy(information->ParentLocation.ParentLocationBuffer, path);
      information->ParentLocation.ParentResolved = document[0] == L'1';
    }
    *size = needed;
  }
  free(document);
  if (used != NULL) *used = needed;
  return error;
}

DWORD WINAPI GetVirtualDiskPhysicalPath(HANDLE disk, PULONG size, PWSTR path) {
  PWSTR document = NULL;
  DWORD error = ask_disk(&document, "GetVirtualDiskPhysicalPath", disk, 0);
  if (error == ERROR_SUCCESS) {
    ULONG needed = (ULONG)((wcslen(document) + 1) * sizeof(WCHAR));
    if (*size < needed) error = ERROR_INSUFFICIENT_BUFFER;
    else memcpy(path, document, needed);
    *size = needed;
  }
  free(document);
  return error;
}
