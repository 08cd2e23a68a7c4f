/*
 * starter.exe: without arguments, starts one program of a Windows container and stands between it and the guest agent. Standard input and
 * output carry frames: a byte of kind, a length of four bytes, little endian, and the payload. The agent cannot do this
 * from outside: the exit status of a Unix process has 8 of the 32 bits of an exit code, an argument list is not a
 * command line, and consoles and control events exist only inside.
 *
 * From the agent, first S (how to start), then:
 *   i  bytes for the program's input, none for its end     o, e  leave to send the next bytes of an output
 *   c  a control event                                     z     the size of the console        t  terminate
 * To the agent:
 *   s  the program's id      f  the Windows error that kept it from starting     x  its exit code
 *   o, e  bytes of an output, none for its end      i  the input was taken       a  the error of the last c, z or t, or 0
 *
 * Each stream has one frame on its way, so that a slow reader holds up that stream alone.
 */
#include "frames.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Where the container has it, outside of its drives. Wine does not tell by GetModuleFileName. */
#define OWN_PATH L"\\\\?\\unix\\starter\\starter.exe"
enum { HAS_INPUT = 1, HAS_OUTPUT = 2, HAS_ERROR = 4, HAS_CONSOLE = 8 };

struct output {
  HANDLE reading, leave;
  char kind;
};

static HANDLE program, job, input, input_ready;
static struct output outputs[2] = {{.kind = 'o'}, {.kind = 'e'}};
static HPCON console;
static BOOL shows_console;
static char *pending;
static DWORD pending_length;

static DWORD WINAPI copy_output(void *argument) {
  struct output *output = argument;
  char *bytes = malloc(CHUNK);
  DWORD got;
  for (;;) {
    WaitForSingleObject(output->leave, INFINITE);
    if (!ReadFile(output->reading, bytes, CHUNK, &got, NULL)) break;
    /* A write of no bytes is not an end; the leave is kept for the next. */
    if (got > 0) send_frame(output->kind, bytes, got);
    else ReleaseSemaphore(output->leave, 1, NULL);
  }
  send_frame(output->kind, NULL, 0);
  return 0;
}

/* What a console shows that nobody asked for. */
static DWORD WINAPI drain(void *reading) {
  char bytes[4096];
  DWORD got;
  while (ReadFile(reading, bytes, sizeof bytes, &got, NULL)) continue;
  return 0;
}

static DWORD WINAPI copy_input(void *unused) {
  (void)unused;
  for (;;) {
    WaitForSingleObject(input_ready, INFINITE);
    if (pending_length == 0) break;
    BOOL is_open = TRUE;
    for (DWORD offset = 0, put; is_open && offset < pending_length; offset += put)
      is_open = WriteFile(input, pending + offset, pending_length - offset, &put, NULL);
    free(pending);
    send_number('i', is_open ? 0 : GetLastError());
  }
  CloseHandle(input);
  return 0;
}

static DWORD WINAPI await_exit(void *unused) {
  (void)unused;
  DWORD code = 0;
  WaitForSingleObject(program, INFINITE);
  GetExitCodeProcess(program, &code);
  send_number('x', code);
  /* Its output ends with it, and whoever is still in it as well: this program must have left. Others than the program may
     hold pipes and go on. */
  if (shows_console) {
    FreeConsole();
    ClosePseudoConsole(console);
  }
  return 0;
}

struct raised {
  HANDLE process, thread;
};

/* Of these events a program hears, but it does not survive them. */
static DWORD WINAPI end_after_event(void *argument) {
  struct raised *raised = argument;
  WaitForSingleObject(raised->thread, INFINITE);
  TerminateProcess(raised->process, (DWORD)STATUS_CONTROL_C_EXIT);
  CloseHandle(raised->thread);
  CloseHandle(raised->process);
  free(raised);
  return 0;
}

/* As Windows raises it: by a thread in each process of the console, which runs the handlers. Every event goes so. */
static DWORD raise_event(DWORD event) {
  struct {
    JOBOBJECT_BASIC_PROCESS_ID_LIST list;
    ULONG_PTR more[1023];
  } processes;
  LPTHREAD_START_ROUTINE routine = (void *)GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), "CtrlRoutine");
  if (!routine) return ERROR_PROC_NOT_FOUND;
  if (!QueryInformationJobObject(job, JobObjectBasicProcessIdList, &processes, sizeof processes, NULL))
    return GetLastError();
  for (DWORD i = 0; i < processes.list.NumberOfProcessIdsInList; i++) {
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, (DWORD)processes.list.ProcessIdList[i]);
    if (!process) continue;
    HANDLE thread = CreateRemoteThread(process, NULL, 0, routine, (void *)(ULONG_PTR)event, 0, NULL);
    if (thread && event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
      struct raised *raised = malloc(sizeof *raised);
      *raised = (struct raised){process, thread};
      CloseHandle(CreateThread(NULL, 0, end_after_event, raised, 0, NULL));
      continue;
    }
    if (thread) CloseHandle(thread);
    CloseHandle(process);
  }
  return 0;
}

static HANDLE open_device(const wchar_t *name) {
  return CreateFileW(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0,
                     NULL);
}

/* From inside, as Wine has no ResizePseudoConsole. The window must never exceed the buffer, also not in between. */
static DWORD resize(COORD size) {
  CONSOLE_SCREEN_BUFFER_INFO now;
  HANDLE screen = open_device(L"CONOUT$");
  DWORD error = 0;
  SMALL_RECT window = {0, 0, size.X - 1, size.Y - 1};
  if (!GetConsoleScreenBufferInfo(screen, &now)) error = GetLastError();
  COORD both = {size.X > now.dwSize.X ? size.X : now.dwSize.X, size.Y > now.dwSize.Y ? size.Y : now.dwSize.Y};
  if (!error && (!SetConsoleScreenBufferSize(screen, both) || !SetConsoleWindowInfo(screen, TRUE, &window) ||
                 !SetConsoleScreenBufferSize(screen, size)))
    error = GetLastError();
  CloseHandle(screen);
  return error;
}

static const char *next_field(const char **at) {
  const char *field = *at + 4;
  DWORD length;
  memcpy(&length, *at, 4);
  *at = field + length;
  return field;
}

static BOOL WINAPI ignore_event(DWORD event) {
  (void)event;
  return TRUE;
}

/*
 * Makes a console that nobody sees and joins it, for the program to inherit. A program that is put into it without
 * handles of its own has no standard streams under Wine, so the first one there only waits, and lets this one in.
 */
static DWORD enter_console(COORD size, HANDLE *writing, HANDLE *reading) {
  HANDLE console_input, console_output;
  if (!CreatePipe(&console_input, writing, NULL, 0) || !CreatePipe(reading, &console_output, NULL, 0))
    return GetLastError();
  HRESULT result = CreatePseudoConsole(size, console_input, console_output, 0, &console);
  if (FAILED(result)) return (DWORD)result & 0xffff;
  CloseHandle(console_input);
  CloseHandle(console_output);
  STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES}};
  SIZE_T length = 0;
  InitializeProcThreadAttributeList(NULL, 1, 0, &length);
  startup.lpAttributeList = malloc(length);
  InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &length);
  UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, console, sizeof console,
                            NULL, NULL);
  wchar_t line[] = L"starter.exe hold";
  PROCESS_INFORMATION holder;
  if (!CreateProcessW(OWN_PATH, line, NULL, NULL, FALSE, EXTENDED_STARTUPINFO_PRESENT, NULL, NULL, &startup.StartupInfo,
                      &holder))
    return GetLastError();
  free(startup.lpAttributeList);
  CloseHandle(holder.hThread);
  SetConsoleCtrlHandler(ignore_event, TRUE);
  FreeConsole();
  /* Until the other one has got there itself. */
  while (!AttachConsole(holder.dwProcessId)) {
    if (WaitForSingleObject(holder.hProcess, 1) != WAIT_TIMEOUT) return ERROR_GEN_FAILURE;
  }
  CloseHandle(holder.hProcess);
  return 0;
}

/* Fields of S: the flags and the console's width and height, command line, folder, and variables as name=value. */
static DWORD start(const char *at) {
  WORD numbers[3];
  memcpy(numbers, next_field(&at), sizeof numbers);
  WORD flags = numbers[0];
  wchar_t *line = (wchar_t *)next_field(&at);
  const wchar_t *folder = (const wchar_t *)next_field(&at);
  for (wchar_t *variable = (wchar_t *)next_field(&at); *variable;) {
    size_t length = wcslen(variable);
    /* The first character of a name may be an equals sign. */
    wchar_t *value = wcschr(variable + 1, L'=');
    /* Without a name there is nothing to set. */
    if (value) {
      *value = 0;
      SetEnvironmentVariableW(variable, value[1] ? value + 1 : NULL);
    }
    variable += length + 1;
  }
  STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
  HANDLE console_writing, console_reading, theirs[3] = {NULL, NULL, NULL};
  COORD size = {numbers[1] ? numbers[1] : 80, numbers[2] ? numbers[2] : 25};
  DWORD error = enter_console(size, &console_writing, &console_reading);
  if (error) return error;
  if (flags & HAS_CONSOLE) {
    shows_console = TRUE;
    input = console_writing;
    outputs[0].reading = console_reading;
    theirs[0] = open_device(L"CONIN$");
    theirs[1] = open_device(L"CONOUT$");
    theirs[2] = open_device(L"CONOUT$");
  } else {
    CloseHandle(CreateThread(NULL, 0, drain, console_reading, 0, NULL));
    if (flags & HAS_INPUT && !CreatePipe(&theirs[0], &input, NULL, CHUNK)) return GetLastError();
    if (flags & HAS_OUTPUT && !CreatePipe(&outputs[0].reading, &theirs[1], NULL, CHUNK)) return GetLastError();
    if (flags & HAS_ERROR && !CreatePipe(&outputs[1].reading, &theirs[2], NULL, CHUNK)) return GetLastError();
    for (int i = 0; i < 3; i++)
      if (!theirs[i]) theirs[i] = open_device(L"NUL");
  }
  for (int i = 0; i < 3; i++) SetHandleInformation(theirs[i], HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
  startup.hStdInput = theirs[0];
  startup.hStdOutput = theirs[1];
  startup.hStdError = theirs[2];
  job = CreateJobObjectW(NULL, NULL);
  PROCESS_INFORMATION process;
  if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, *folder ? folder : NULL, &startup, &process))
    return GetLastError();
  program = process.hProcess;
  AssignProcessToJobObject(job, program);
  for (int i = 0; i < 3; i++)
    CloseHandle(theirs[i]);
  send_number('s', process.dwProcessId);
  if (input) CloseHandle(CreateThread(NULL, 0, copy_input, NULL, 0, NULL));
  for (int i = 0; i < 2; i++)
    if (outputs[i].reading) CloseHandle(CreateThread(NULL, 0, copy_output, &outputs[i], 0, NULL));
  ResumeThread(process.hThread);
  CloseHandle(process.hThread);
  CloseHandle(CreateThread(NULL, 0, await_exit, NULL, 0, NULL));
  return 0;
}

static int run_program(void) {
  input_ready = CreateSemaphoreW(NULL, 0, 1, NULL);
  for (int i = 0; i < 2; i++) outputs[i].leave = CreateSemaphoreW(NULL, 0, 1, NULL);
  char *payload;
  DWORD length;
  for (char kind; (kind = next_frame(&payload, &length)) != 0;) {
    DWORD number[1] = {0};
    if (length >= 4) memcpy(number, payload, 4);
    switch (kind) {
      case 'S': {
        DWORD error = start(payload);
        if (error) {
          send_number('f', error);
          return 0;
        }
        break;
      }
      case 'i':
        pending = payload;
        pending_length = length;
        ReleaseSemaphore(input_ready, 1, NULL);
        continue;
      case 'o': ReleaseSemaphore(outputs[0].leave, 1, NULL); break;
      case 'e': ReleaseSemaphore(outputs[1].leave, 1, NULL); break;
      case 'c': send_number('a', raise_event(*number)); break;
      case 'z': {
        COORD size = {(SHORT)(*number & 0xffff), (SHORT)(*number >> 16)};
        send_number('a', resize(size));
        break;
      }
      case 't': send_number('a', TerminateProcess(program, 1) ? 0 : GetLastError()); break;
      default: return 2;
    }
    free(payload);
  }
  return 0;
}

/* hold: waits in a console, for others to join it. list, pipe: see the files of their names. */
int wmain(int count, wchar_t **arguments) {
  if (count > 1 && !wcscmp(arguments[1], L"hold")) Sleep(INFINITE);
  open_frames();
  if (count > 1 && !wcscmp(arguments[1], L"list")) return list_processes();
  if (count > 2 && !wcscmp(arguments[1], L"pipe")) return serve_pipe(arguments[2]);
  return run_program();
}
