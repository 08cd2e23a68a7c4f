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
