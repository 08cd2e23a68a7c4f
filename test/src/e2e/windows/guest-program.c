/* guest-program.exe: uses what a Windows container was given. Its first argument says what; the exit code is 0 for success. */
#define _WIN32_WINNT 0x0A00
#include <winsock2.h>
#include <iphlpapi.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes to memory, one mebibyte after the other, and says how much it has. */
static int take_memory(unsigned long mebibytes) {
  for (unsigned long taken = 0; taken < mebibytes; taken++) {
    char *block = VirtualAlloc(NULL, 1 << 20, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (block == NULL) return 1;
    memset(block, 1, 1 << 20);
  }
  printf("took %lu MiB\n", mebibytes);
  return 0;
}

/* Works for a time, and says how many hundredths of a processor it had. */
static int work(DWORD milliseconds) {
  FILETIME made, ended, kernel, user;
  ULONGLONG begun = GetTickCount64(), passed;
  do passed = GetTickCount64() - begun;
  while (passed < milliseconds);
  if (!GetProcessTimes(GetCurrentProcess(), &made, &ended, &kernel, &user)) return 1;
  ULONGLONG used = ((ULONGLONG)(kernel.dwHighDateTime + user.dwHighDateTime) << 32) + kernel.dwLowDateTime +
                   user.dwLowDateTime;
  printf("share %llu\n", used / 100 / passed);
  return 0;
}

/* Sends a line through a named pipe, and says what comes back. */
static int ask_pipe(const wchar_t *name, const char *line) {
  HANDLE pipe = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
  if (pipe == INVALID_HANDLE_VALUE) {
    printf("error %lu\n", GetLastError());
    return 1;
  }
  DWORD count;
  char answer[256];
  if (!WriteFile(pipe, line, (DWORD)strlen(line), &count, NULL)) return 2;
  if (!ReadFile(pipe, answer, sizeof answer - 1, &count, NULL)) return 3;
  answer[count] = 0;
  printf("answer %s\n", answer);
  CloseHandle(pipe);
  return 0;
}

/* Says the IPv4 addresses of its adapters, loopback left out. */
static int say_addresses(void) {
  static char space[65536];
  ULONG size = sizeof space;
  IP_ADAPTER_ADDRESSES *adapters = (IP_ADAPTER_ADDRESSES *)space;
  if (GetAdaptersAddresses(AF_INET, 0, NULL, adapters, &size) != NO_ERROR) return 1;
  for (IP_ADAPTER_ADDRESSES *one = adapters; one != NULL; one = one->Next) {
    if (one->IfType == IF_TYPE_SOFTWARE_LOOPBACK) continue;
    for (IP_ADAPTER_UNICAST_ADDRESS *address = one->FirstUnicastAddress; address != NULL; address = address->Next) {
      const unsigned char *bytes =
          (const unsigned char *)&((struct sockaddr_in *)address->Address.lpSockaddr)->sin_addr;
      printf("address %u.%u.%u.%u\n", bytes[0], bytes[1], bytes[2], bytes[3]);
    }
  }
  return 0;
}

int wmain(int count, wchar_t **arguments) {
  const wchar_t *what = count > 1 ? arguments[1] : L"";
  DWORD_PTR own, all;
  if (!wcscmp(what, L"memory")) return take_memory(wcstoul(arguments[2], NULL, 10));
  if (!wcscmp(what, L"work")) return work(wcstoul(arguments[2], NULL, 10));
  if (!wcscmp(what, L"pipe")) return ask_pipe(arguments[2], "from the container");
  if (!wcscmp(what, L"addresses")) return say_addresses();
  if (!wcscmp(what, L"processors")) {
    /* Wine counts the machine's processors in GetSystemInfo. */
    if (!GetProcessAffinityMask(GetCurrentProcess(), &own, &all)) return 1;
    printf("processors %d\n", __builtin_popcountll(own));
    return 0;
  }
  return 99;
}
