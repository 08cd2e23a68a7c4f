/* probe.exe: says what a Windows program sees of its container, and does what its first argument says. */
#define _WIN32_WINNT 0x0A00
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

static BOOL WINAPI on_event(DWORD event) {
  printf("event %lu\n", event);
  fflush(stdout);
  return TRUE;
}

static int say_size(void) {
  CONSOLE_SCREEN_BUFFER_INFO info;
  HANDLE console = CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                               OPEN_EXISTING, 0, NULL);
  if (!GetConsoleScreenBufferInfo(console, &info)) return 1;
  char text[64];
  int length = snprintf(text, sizeof text, "size=%dx%d;", info.srWindow.Right - info.srWindow.Left + 1,
                        info.srWindow.Bottom - info.srWindow.Top + 1);
  DWORD written;
  WriteFile(console, text, (DWORD)length, &written, NULL);
  return 0;
}

int wmain(int count, wchar_t **arguments) {
  const wchar_t *what = count > 1 ? arguments[1] : L"";
  if (!wcscmp(what, L"exit")) return (int)wcstoul(arguments[2], NULL, 16);
  if (!wcscmp(what, L"see")) {
    char text[256];
    DWORD length = sizeof text;
    printf("line=%ls\n", GetCommandLineW());
    GetUserNameA(text, &length);
    printf("user=%s\n", text);
    length = sizeof text;
    GetComputerNameA(text, &length);
    printf("computer=%s %s\n", text, getenv("COMPUTERNAME"));
    GetCurrentDirectoryA(sizeof text, text);
    printf("folder=%s\nvariable=%s\n", text, getenv("VARIABLE"));
    printf("drives=%lx\n", GetLogicalDrives());
    return 0;
  }
  if (!wcscmp(what, L"wait")) {
    printf("ready\n");
    fflush(stdout);
    Sleep(60000);
    return 7;
  }
  if (!wcscmp(what, L"handle")) {
    SetConsoleCtrlHandler(on_event, TRUE);
    printf("ready\n");
    fflush(stdout);
    Sleep(60000);
    return 7;
  }
  if (!wcscmp(what, L"sizes")) {
    /* Says its console's size for each line of input. */
    char line[64];
    say_size();
    while (fgets(line, sizeof line, stdin)) say_size();
    return 0;
  }
  if (!wcscmp(what, L"limits")) {
    MEMORYSTATUSEX memory = {.dwLength = sizeof memory};
    DWORD_PTR own, all;
    GlobalMemoryStatusEx(&memory);
    GetProcessAffinityMask(GetCurrentProcess(), &own, &all);
    int count = 0;
    for (; own; own &= own - 1) count++;
    printf("memory=%llu free=%d processors=%d\n", memory.ullTotalPageFile >> 20,
           memory.ullAvailPhys > 0 && memory.ullAvailPhys <= memory.ullTotalPageFile, count);
    return 0;
  }
  if (!wcscmp(what, L"pipe")) {
    /* Sends each line of input through a named pipe, and says what comes back. */
    char line[256];
    DWORD got, put;
    if (!WaitNamedPipeW(arguments[2], 5000)) return (int)GetLastError();
    HANDLE pipe = CreateFileW(arguments[2], GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE) return (int)GetLastError();
    while (fgets(line, sizeof line, stdin)) {
      if (!WriteFile(pipe, line, (DWORD)strlen(line), &put, NULL)) return (int)GetLastError();
      if (!ReadFile(pipe, line, sizeof line - 1, &got, NULL)) return (int)GetLastError();
      printf("%.*s", (int)got, line);
      fflush(stdout);
    }
    CloseHandle(pipe);
    return 0;
  }
  if (!wcscmp(what, L"zone")) {
    TIME_ZONE_INFORMATION zone;
    GetTimeZoneInformation(&zone);
    printf("bias=%ld\n", zone.Bias);
    return 0;
  }
  if (!wcscmp(what, L"copy")) {
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE), out = GetStdHandle(STD_OUTPUT_HANDLE);
    static char bytes[65536];
    DWORD got, put;
    while (ReadFile(in, bytes, sizeof bytes, &got, NULL) && got > 0)
      for (DWORD offset = 0; offset < got; offset += put)
        if (!WriteFile(out, bytes + offset, got - offset, &put, NULL)) return 2;
    return 0;
  }
  return 99;
}
