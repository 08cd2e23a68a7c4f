/*
 * system.dll of the test host: stands before kernel32.dll, advapi32.dll and ole32.dll. It counts the strings and
 * handles that are given back, has a vmmem process for each VM that runs, and the entries of the hvsocket provider, for
 * which Wine has no device; all other functions are forwarded. The names of its functions have a prefix, since the
 * system's own are called here too.
 */
#include <winsock2.h>
#include "testhost.h"
#include <hvsocket.h>
#include <objbase.h>
#include <psapi.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define FRONT(function) __typeof__(function) front_##function

FRONT(LocalFree);
FRONT(CoTaskMemFree);
FRONT(CloseHandle);
FRONT(CreateFileW);
FRONT(DeviceIoControl);
FRONT(OpenProcess);
FRONT(K32EnumProcesses);
FRONT(QueryFullProcessImageNameW);
FRONT(K32GetProcessMemoryInfo);
FRONT(OpenProcessToken);
FRONT(GetTokenInformation);

HLOCAL WINAPI front_LocalFree(HLOCAL memory) {
  return host()->free_string(memory, LOCAL) ? NULL : LocalFree(memory);
}

void WINAPI front_CoTaskMemFree(void *memory) {
  if (!host()->free_string(memory, CO_TASK)) CoTaskMemFree(memory);
}

/* A handle on a vmmem process, or on its token: an event, so that it can be closed. */
static HANDLE new_handle(DWORD pid) {
  HANDLE handle = CreateEventW(NULL, TRUE, FALSE, NULL);
  host()->track(VMMEM_HANDLES, handle, pid);
  return handle;
}

/* 0 when it is no handle of a vmmem process. */
static DWORD pid_of(HANDLE handle) {
  return (DWORD)host()->tracked(VMMEM_HANDLES, handle);
}

/* Each entry is a file below this device, by the GUID that it redirects, in braces. */
static const WCHAR address_entries[] = L"\\\\.\\HvSocketSystem\\AddressInfo\\";
/* Without a name in a public header. */
#define UPDATE_ADDRESS_INFO 0x21c004

static BOOL fail(DWORD error) {
  SetLastError(error);
  return FALSE;
}

static DWORD error_of(HRESULT result) {
  return HRESULT_FACILITY(result) == FACILITY_WIN32 ? (DWORD)HRESULT_CODE(result) : (DWORD)result;
}

/* An entry is opened for itself, and must be new. Its handle is an event, so that it can be closed. */
HANDLE WINAPI front_CreateFileW(PCWSTR path, DWORD access, DWORD share, SECURITY_ATTRIBUTES *security,
                                DWORD disposition, DWORD flags, HANDLE template) {
  size_t length = wcslen(address_entries);
  if (path == NULL || _wcsnicmp(path, address_entries, length) != 0)
    return CreateFileW(path, access, share, security, disposition, flags, template);
  if (access != (GENERIC_READ | GENERIC_WRITE) || share != 0 || disposition != CREATE_NEW || flags != 0) {
    host()->misuse("an address entry is opened with unexpected arguments");
    fail(ERROR_INVALID_PARAMETER);
    return INVALID_HANDLE_VALUE;
  }
  PWSTR document = NULL;
  HRESULT result = host()->call(&document, "HvSocketCreateEntry", 1, (PCWSTR[]){path + length});
  HANDLE handle = INVALID_HANDLE_VALUE;
  if (FAILED(result)) fail(error_of(result));
  else {
    handle = CreateEventW(NULL, TRUE, FALSE, NULL);
    host()->track(ADDRESS_ENTRIES, handle, _wcstoui64(document, NULL, 10));
  }
  free(document);
  return handle;
}

BOOL WINAPI front_DeviceIoControl(HANDLE handle, DWORD code, void *input, DWORD size, void *output, DWORD output_size,
                                  DWORD *written, OVERLAPPED *overlapped) {
  ULONG64 entry = host()->tracked(ADDRESS_ENTRIES, handle);
  if (entry == 0) return DeviceIoControl(handle, code, input, size, output, output_size, written, overlapped);
  if (code != UPDATE_ADDRESS_INFO) return fail(ERROR_INVALID_FUNCTION);
  if (input == NULL || size != sizeof(HVSOCKET_ADDRESS_INFO) || output_size != 0 || overlapped != NULL)
    return fail(ERROR_INVALID_PARAMETER);
  const HVSOCKET_ADDRESS_INFO *info = input;
  WCHAR system[40], vm[40], silo[40];
  StringFromGUID2(&info->SystemId, system, 40);
  StringFromGUID2(&info->VirtualMachineId, vm, 40);
  StringFromGUID2(&info->SiloId, silo, 40);
  struct number which = number(entry), flags = number(info->Flags);
  HRESULT result =
      host()->call(NULL, "HvSocketUpdateEntry", 5, (PCWSTR[]){which.text, system, vm, silo, flags.text});
  if (FAILED(result)) return fail(error_of(result));
  *written = 0;
  return TRUE;
}

BOOL WINAPI front_CloseHandle(HANDLE handle) {
  ULONG64 entry = host()->untrack(ADDRESS_ENTRIES, handle);
  if (entry != 0) {
    struct number which = number(entry);
    host()->give_back("HvSocketCloseEntry", which.text);
  }
  for (int kind = 0; kind < TRACKED_KINDS; kind++) host()->untrack((enum tracked_kind)kind, handle);
  return CloseHandle(handle);
}

/* The relay's answer about a vmmem process; NULL when there is none. */
static PWSTR ask(PCSTR function, DWORD pid) {
  PWSTR document = NULL;
  struct number which = number(pid);
  if (SUCCEEDED(host()->call(&document, function, 1, (PCWSTR[]){which.text}))) return document;
  free(document);
  return NULL;
}

BOOL WINAPI front_K32EnumProcesses(DWORD *pids, DWORD size, DWORD *used) {
  if (!K32EnumProcesses(pids, size, used)) return FALSE;
  PWSTR document = ask("vmmemProcesses", 0);
  for (PWSTR text = document; text != NULL && *text != 0 && *used + sizeof *pids <= size; *used += sizeof *pids)
    pids[*used / sizeof *pids] = wcstoul(text, &text, 10);
  free(document);
  return TRUE;
}

HANDLE WINAPI front_OpenProcess(DWORD access, BOOL inherited, DWORD pid) {
  PWSTR owner = ask("vmmemOwner", pid);
  HANDLE handle = owner == NULL ? OpenProcess(access, inherited, pid) : new_handle(pid);
  free(owner);
  return handle;
}

BOOL WINAPI front_QueryFullProcessImageNameW(HANDLE process, DWORD flags, PWSTR name, PDWORD size) {
  static const WCHAR vmmem[] = L"vmmem";
  if (pid_of(process) == 0) return QueryFullProcessImageNameW(process, flags, name, size);
  if (*size < sizeof vmmem / sizeof *vmmem) {
    SetLastError(ERROR_INSUFFICIENT_BUFFER);
    return FALSE;
  }
  wcscpy(name, vmmem);
  *size = (DWORD)wcslen(vmmem);
  return TRUE;
}

BOOL WINAPI front_K32GetProcessMemoryInfo(HANDLE process, PROCESS_MEMORY_COUNTERS *counters, DWORD size) {
  DWORD pid = pid_of(process);
  if (pid == 0) return K32GetProcessMemoryInfo(process, counters, size);
  PWSTR document = size < sizeof *counters ? NULL : ask("vmmemWorkingSet", pid);
  if (document == NULL) {
    SetLastError(ERROR_GEN_FAILURE);
    return FALSE;
  }
  memset(counters, 0, sizeof *counters);
  counters->cb = sizeof *counters;
  counters->WorkingSetSize = _wcstoui64(document, NULL, 10);
  free(document);
  return TRUE;
}

BOOL WINAPI front_OpenProcessToken(HANDLE process, DWORD access, PHANDLE token) {
  DWORD pid = pid_of(process);
  if (pid == 0) return OpenProcessToken(process, access, token);
  *token = new_handle(pid);
  return TRUE;
}

/* The user of a vmmem process: S-1-5-83-1 and the four numbers that the VM's GUID consists of in memory. */
BOOL WINAPI front_GetTokenInformation(HANDLE token, TOKEN_INFORMATION_CLASS class, PVOID information, DWORD size,
                                      PDWORD needed) {
  struct user {
    TOKEN_USER user;
    SID sid;
    DWORD more[5];
  } *user = information;
  DWORD pid = pid_of(token);
  if (pid == 0 || class != TokenUser) return GetTokenInformation(token, class, information, size, needed);
  *needed = sizeof *user;
  PWSTR owner = size < sizeof *user ? NULL : ask("vmmemOwner", pid);
  if (owner == NULL) {
    SetLastError(ERROR_INSUFFICIENT_BUFFER);
    return FALSE;
  }
  GUID vm;
  CLSIDFromString(owner, &vm);
  free(owner);
  user->user.User = (SID_AND_ATTRIBUTES){&user->sid, 0};
  user->sid = (SID){SID_REVISION, 6, {SECURITY_NT_AUTHORITY}, {SECURITY_VIRTUALSERVER_ID_BASE_RID}};
  user->more[0] = 1;
  memcpy(user->more + 1, &vm, sizeof vm);
  return TRUE;
}
