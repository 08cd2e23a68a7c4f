#include "frames.h"
#include <stdlib.h>
#include <string.h>

static HANDLE from_agent, to_agent;
static CRITICAL_SECTION sending;

void open_frames(void) {
  InitializeCriticalSection(&sending);
  from_agent = GetStdHandle(STD_INPUT_HANDLE);
  to_agent = GetStdHandle(STD_OUTPUT_HANDLE);
  SetHandleInformation(from_agent, HANDLE_FLAG_INHERIT, 0);
  SetHandleInformation(to_agent, HANDLE_FLAG_INHERIT, 0);
}

static BOOL read_whole(void *bytes, DWORD length) {
  for (DWORD offset = 0, got; offset < length; offset += got)
    if (!ReadFile(from_agent, (char *)bytes + offset, length - offset, &got, NULL) || got == 0) return FALSE;
  return TRUE;
}

void send_frame(char kind, const void *payload, DWORD length) {
  char head[5] = {kind};
  memcpy(head + 1, &length, 4);
  EnterCriticalSection(&sending);
  const char *parts[2] = {head, payload};
  DWORD lengths[2] = {sizeof head, length};
  for (int i = 0; i < 2; i++)
    for (DWORD offset = 0, put; offset < lengths[i]; offset += put)
      if (!WriteFile(to_agent, parts[i] + offset, lengths[i] - offset, &put, NULL)) ExitProcess(1);
  LeaveCriticalSection(&sending);
}

void send_number(char kind, DWORD number) { send_frame(kind, &number, sizeof number); }

char next_frame(char **payload, DWORD *length) {
  char head[5];
  if (!read_whole(head, sizeof head)) return 0;
  memcpy(length, head + 1, 4);
  if (*length > LARGEST_FRAME) return 0;
  *payload = malloc(*length + 1);
  return read_whole(*payload, *length) ? head[0] : 0;
}
