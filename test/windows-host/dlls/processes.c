/*
 * computecore.dll: processes of compute systems. The emulated host has none, so the relay keeps a table of them, and each
 * gives back on its standard output what it gets on its standard input, until that ends.
 */
#include "operations.h"
#include <stdlib.h>
#include <wchar.h>

enum stream { STDIN, STDOUT, STDERR, STREAMS };

struct streams {
  DWORD id;
  BOOL ends_at_once;
  /* Of the process, and what its creator gets. */
  HANDLE own[STREAMS], given[STREAMS];
};

static HANDLE close(HANDLE handle) {
  if (handle != NULL) CloseHandle(handle);
  return NULL;
}

void free_streams(struct streams *streams) {
  for (int stream = 0; stream < STREAMS; stream++) {
    close(streams->own[stream]);
    close(streams->given[stream]);
  }
  free(streams);
}

/* Tells the relay that the process has done all it will do. */
static void finish(struct subject *process) {
  struct number object = number((ULONG_PTR)process->handle);
  host()->call(NULL, "processFinished", 1, (PCWSTR[]){object.text});
}

static DWORD WINAPI give_back(void *context) {
  struct subject *process = context;
  struct streams *streams = process->streams;
  char bytes[4096];
  DWORD got, put;
  BOOL goes_on = TRUE;
  while (goes_on && streams->own[STDIN] != NULL && ReadFile(streams->own[STDIN], bytes, sizeof bytes, &got, NULL))
    for (DWORD at = 0; goes_on && at < got; at += put)
      goes_on = streams->own[STDOUT] != NULL && WriteFile(streams->own[STDOUT], bytes + at, got - at, &put, NULL);
  if (goes_on) {
    EnterCriticalSection(&core_lock);
    for (int stream = 0; stream < STREAMS; stream++) streams->own[stream] = close(streams->own[stream]);
    LeaveCriticalSection(&core_lock);
  }
  finish(process);
  release(process);
  return 0;
}

static void make_pipe(struct streams *streams, enum stream stream, int wanted) {
  static LONG pipes;
  WCHAR name[80];
  if (!wanted) return;
  wsprintfW(name, L"\\\\.\\pipe\\uvm-shim-test-host-%lu-%ld", GetCurrentProcessId(), InterlockedIncrement(&pipes));
  DWORD own = stream == STDIN ? PIPE_ACCESS_INBOUND : PIPE_ACCESS_OUTBOUND;
  DWORD given = stream == STDIN ? GENERIC_WRITE : GENERIC_READ;
  streams->own[stream] = CreateNamedPipeW(name, own, PIPE_TYPE_BYTE | PIPE_WAIT, 1, 65536, 65536, 0, NULL);
  streams->given[stream] = CreateFileW(name, given, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
}

void open_streams(struct subject *process, PCWSTR description) {
  struct streams *streams = calloc(1, sizeof *streams);
  int wanted[STREAMS], ends_at_once;
  swscanf(description, L"%lu %d %d %d %d", &streams->id, &wanted[STDIN], &wanted[STDOUT], &wanted[STDERR],
          &ends_at_once);
  for (int stream = 0; stream < STREAMS; stream++) make_pipe(streams, (enum stream)stream, wanted[stream]);
  EnterCriticalSection(&core_lock);
  process->streams = streams;
  BOOL lives = wanted[STDIN] || ends_at_once;
  if (ends_at_once) streams->own[STDIN] = close(streams->own[STDIN]);
  if (lives) process->references++;
  LeaveCriticalSection(&core_lock);
  if (lives) CloseHandle(CreateThread(NULL, 0, give_back, process, 0, NULL));
}

/* Whoever reads or writes at the process's end fails then. */
void close_streams(struct subject *process, PCWSTR which) {
  struct streams *streams = process->streams;
  if (streams == NULL) return;
  for (int stream = 0; stream < STREAMS; stream++)
    if ((which == NULL || stream == STDIN) && streams->own[stream] != NULL)
      DisconnectNamedPipe(streams->own[stream]);
}

void process_information(struct subject *process, HCS_PROCESS_INFORMATION *information) {
  struct streams *streams = process->streams;
  *information = (HCS_PROCESS_INFORMATION){0};
  if (streams == NULL) return;
  information->ProcessId = streams->id;
  information->StdInput = streams->given[STDIN];
  information->StdOutput = streams->given[STDOUT];
  information->StdError = streams->given[STDERR];
  for (int stream = 0; stream < STREAMS; stream++) {
    if (streams->given[stream] != NULL) host()->track(STANDARD_STREAMS, streams->given[stream], streams->id);
    streams->given[stream] = NULL;
  }
}
