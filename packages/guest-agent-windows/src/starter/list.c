/*
 * starter.exe list: a frame p for each process of the container but those like this one: its id, three times of eight bytes
 * in units of 100 ns (start, in user mode, in the kernel), what it has committed and what it has in memory, and its name.
 */
#include "frames.h"
#include <psapi.h>
#include <string.h>
#include <tlhelp32.h>

#pragma pack(push, 1)
struct entry {
  DWORD id;
  FILETIME start, user, kernel;
  ULONGLONG commit, memory;
  char name[1024];
};
#pragma pack(pop)

int list_processes(void) {
  HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
  PROCESSENTRY32W process = {.dwSize = sizeof process};
  if (snapshot == INVALID_HANDLE_VALUE) return 1;
  for (BOOL has = Process32FirstW(snapshot, &process); has; has = Process32NextW(snapshot, &process)) {
    struct entry entry = {.id = process.th32ProcessID};
    PROCESS_MEMORY_COUNTERS_EX memory = {.cb = sizeof memory};
    FILETIME exit;
    if (!_wcsicmp(process.szExeFile, L"starter.exe")) continue;
    HANDLE opened = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, entry.id);
    if (!opened) continue;
    GetProcessTimes(opened, &entry.start, &exit, &entry.kernel, &entry.user);
    if (GetProcessMemoryInfo(opened, (PROCESS_MEMORY_COUNTERS *)&memory, sizeof memory)) {
      entry.commit = memory.PrivateUsage ? memory.PrivateUsage : memory.PagefileUsage;
      entry.memory = memory.WorkingSetSize;
    }
    CloseHandle(opened);
    WideCharToMultiByte(CP_UTF8, 0, process.szExeFile, -1, entry.name, sizeof entry.name - 1, NULL, NULL);
    send_frame('p', &entry, (DWORD)(offsetof(struct entry, name) + strlen(entry.name)));
  }
  return 0;
}
