/*
 * stdio-relay.exe <error output> program [argument...]: runs a program with Windows pipes for its standard streams, and
 * copies them from and to its own. Under Wine those are Unix descriptors, which the event loop of Node does not take
 * for pipes. Standard error goes to a file or FIFO, since every process that Wine ever starts from here keeps the
 * descriptor of ours open. Like a caller on Windows, it reads until the last holder of a stream has closed it. The
 * program ends with the relay; what the program has started does not.
 */
#include <windows.h>

struct copy {
  HANDLE from, to;
};

static DWORD WINAPI copy(void *argument) {
  const struct copy *streams = argument;
  char bytes[65536];
  DWORD got, put;
  while (ReadFile(streams->from, bytes, sizeof bytes, &got, NULL) && got > 0)
    for (DWORD offset = 0; offset < got; offset += put)
      if (!WriteFile(streams->to, bytes + offset, got - offset, &put, NULL)) goto end;
end:
  CloseHandle(streams->from);
  CloseHandle(streams->to);
  return 0;
}

/* What follows the first argument of a command line. */
static wchar_t *rest(wchar_t *line) {
  BOOL quoted = FALSE;
  for (; *line && (quoted || (*line != L' ' && *line != L'\t')); line++)
    if (*line == L'"') quoted = !quoted;
  while (*line == L' ' || *line == L'\t') line++;
  return line;
}

int wmain(int count, wchar_t **arguments) {
  if (count < 3) return 124;
  HANDLE theirs[3], threads[3];
  struct copy streams[3];
  HANDLE own[3] = {GetStdHandle(STD_INPUT_HANDLE), GetStdHandle(STD_OUTPUT_HANDLE)};
  own[2] = CreateFileW(arguments[1], GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
  if (own[2] == INVALID_HANDLE_VALUE) return 124;
  for (int i = 0; i < 3; i++) {
    HANDLE reading, writing;
    if (!CreatePipe(&reading, &writing, NULL, 65536)) return 125;
    theirs[i] = i == 0 ? reading : writing;
    SetHandleInformation(theirs[i], HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    SetHandleInformation(own[i], HANDLE_FLAG_INHERIT, 0);
    streams[i] = i == 0 ? (struct copy){own[i], writing} : (struct copy){reading, own[i]};
  }
  HANDLE job = CreateJobObjectW(NULL, NULL);
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
  SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
  STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
  startup.hStdInput = theirs[0];
  startup.hStdOutput = theirs[1];
  startup.hStdError = theirs[2];
  PROCESS_INFORMATION process;
  if (!CreateProcessW(NULL, rest(rest(GetCommandLineW())), NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup,
                      &process))
    return 126;
  AssignProcessToJobObject(job, process.hProcess);
  ResumeThread(process.hThread);
  for (int i = 0; i < 3; i++) {
    CloseHandle(theirs[i]);
    threads[i] = CreateThread(NULL, 0, copy, &streams[i], 0, NULL);
  }
  DWORD code = 125;
  WaitForSingleObject(process.hProcess, INFINITE);
  GetExitCodeProcess(process.hProcess, &code);
  WaitForMultipleObjects(2, threads + 1, TRUE, INFINITE);
  ExitProcess(code);
}
