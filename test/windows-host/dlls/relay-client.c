#include <winsock2.h>
#include <ws2tcpip.h>
#include "relay-client.h"
#include "base64.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HCS_E_SERVICE_NOT_AVAILABLE ((HRESULT)0x80370114)
#define HCS_E_SERVICE_DISCONNECT ((HRESULT)0x8037011E)
#define SERVICE_DISCONNECT_EVENT 0x02000000
#define LISTENERS 4

struct pending {
  ULONG64 id;
  answer_handler handler;
  void *context;
  struct pending *next;
};

static CRITICAL_SECTION lock;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
static SOCKET connection = INVALID_SOCKET;
static struct pending *pending;
static ULONG64 last_id;
static event_handler listeners[LISTENERS];
static char sleeping[64];
static DWORD sleep_ms;

static BOOL CALLBACK prepare(INIT_ONCE *initialised, void *parameter, void **context) {
  (void)initialised, (void)parameter, (void)context;
  WSADATA data;
  InitializeCriticalSection(&lock);
  return WSAStartup(MAKEWORD(2, 2), &data) == 0;
}

static void tell(ULONG64 object, DWORD type, PCWSTR data) {
  for (int index = 0; index < LISTENERS; index++)
    if (listeners[index] != NULL) listeners[index](object, type, data);
}

static struct pending *take(ULONG64 id) {
  EnterCriticalSection(&lock);
  struct pending **link = &pending, *found;
  while (*link != NULL && (*link)->id != id) link = &(*link)->next;
  found = *link;
  if (found != NULL) *link = found->next;
  LeaveCriticalSection(&lock);
  return found;
}

static void receive(char *line) {
  char *fields[4] = {"", "", "", "-"};
  int count = 0;
  for (char *field = line; field != NULL && count < 4; count++) {
    fields[count] = field;
    field = strchr(field, '\t');
    if (field != NULL) *field++ = 0;
  }
  if (strcmp(fields[0], "event") == 0) {
    PWSTR data = text_of_base64(fields[3]);
    tell(_strtoui64(fields[1], NULL, 10), strtoul(fields[2], NULL, 10), data == NULL ? L"" : data);
    free(data);
    return;
  }
  struct pending *call = take(_strtoui64(fields[0], NULL, 10));
  if (call == NULL) return;
  call->handler(call->context, (HRESULT)strtoul(fields[1], NULL, 10), text_of_base64(fields[2]));
  free(call);
}

/* Reads until the connection ends; then whatever is pending fails, and all objects hear of it. */
static DWORD WINAPI read_lines(void *argument) {
  SOCKET from = (SOCKET)argument;
  size_t capacity = 65536, used = 0;
  char *bytes = malloc(capacity);
  for (int got; (got = recv(from, bytes + used, (int)(capacity - used), 0)) > 0;) {
    used += (size_t)got;
    char *line = bytes, *end;
    while ((end = memchr(line, '\n', used - (size_t)(line - bytes))) != NULL) {
      *end = 0;
      receive(line);
      line = end + 1;
    }
    used -= (size_t)(line - bytes);
    memmove(bytes, line, used);
    if (used == capacity) bytes = realloc(bytes, capacity *= 2);
  }
  free(bytes);
  EnterCriticalSection(&lock);
  struct pending *lost = pending;
  pending = NULL;
  connection = INVALID_SOCKET;
  LeaveCriticalSection(&lock);
  closesocket(from);
  while (lost != NULL) {
    struct pending *call = lost;
    lost = call->next;
    call->handler(call->context, HCS_E_SERVICE_DISCONNECT, NULL);
    free(call);
  }
  tell(0, SERVICE_DISCONNECT_EVENT, L"");
  return 0;
}

/* The port in the file beside this DLL; 0 when there is none. */
static u_short relay_port(void) {
  HMODULE self;
  WCHAR path[MAX_PATH];
  char text[16] = "";
  DWORD got;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                     (PCWSTR)(ULONG_PTR)&relay_port, &self);
  GetModuleFileNameW(self, path, MAX_PATH);
  lstrcpyW(wcsrchr(path, L'\\') + 1, L"test-host.port");
  HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) return 0;
  ReadFile(file, text, sizeof text - 1, &got, NULL);
  CloseHandle(file);
  return (u_short)atoi(text);
}

/* With the lock held. */
static BOOL connected(void) {
  if (connection != INVALID_SOCKET) return TRUE;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(relay_port())};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SOCKET attempt = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
  if (connect(attempt, (struct sockaddr *)&address, sizeof address) != 0) {
    closesocket(attempt);
    return FALSE;
  }
  BOOL at_once = TRUE;
  setsockopt(attempt, IPPROTO_TCP, TCP_NODELAY, (char *)&at_once, sizeof at_once);
  SetHandleInformation((HANDLE)attempt, HANDLE_FLAG_INHERIT, 0);
  connection = attempt;
  CloseHandle(CreateThread(NULL, 0, read_lines, (void *)attempt, 0, NULL));
  return TRUE;
}

static char *line_of(ULONG64 id, PCSTR function, int count, const PCWSTR *arguments) {
  size_t size = strlen(function) + 32;
  for (int index = 0; index < count; index++) size += base64_size(arguments[index]) + 1;
  char *line = malloc(size), *end = line + sprintf(line, "%llu\t%s", id, function);
  for (int index = 0; index < count; index++) {
    *end++ = '\t';
    end = base64_of_text(end, arguments[index]);
  }
  *end++ = '\n';
  *end = 0;
  return line;
}

HRESULT relay_send(answer_handler handler, void *context, PCSTR function, int count, const PCWSTR *arguments) {
  InitOnceExecuteOnce(&once, prepare, NULL, NULL);
  if (sleep_ms != 0 && strcmp(function, sleeping) == 0) Sleep(sleep_ms);
  EnterCriticalSection(&lock);
  BOOL ready = connected();
  if (ready) {
    struct pending *call = malloc(sizeof *call);
    *call = (struct pending){++last_id, handler, context, pending};
    pending = call;
    char *line = line_of(call->id, function, count, arguments);
    /* When it cannot be sent the connection has ended, and its reader answers. */
    for (int left = (int)strlen(line), sent, at = 0; left > 0; at += sent, left -= sent)
      if ((sent = send(connection, line + at, left, 0)) <= 0) break;
    free(line);
  }
  LeaveCriticalSection(&lock);
  return ready ? S_OK : HCS_E_SERVICE_NOT_AVAILABLE;
}

struct waiting {
  HANDLE answered;
  HRESULT result;
  PWSTR document;
};

static void answered(void *context, HRESULT result, PWSTR document) {
  struct waiting *waiting = context;
  waiting->result = result;
  waiting->document = document;
  SetEvent(waiting->answered);
}

HRESULT relay_call(PWSTR *document, PCSTR function, int count, const PCWSTR *arguments) {
  struct waiting waiting = {CreateEventW(NULL, TRUE, FALSE, NULL), S_OK, NULL};
  HRESULT result = relay_send(answered, &waiting, function, count, arguments);
  if (SUCCEEDED(result)) {
    WaitForSingleObject(waiting.answered, INFINITE);
    result = waiting.result;
  }
  CloseHandle(waiting.answered);
  if (document != NULL) *document = waiting.document;
  else free(waiting.document);
  return result;
}

void relay_listen(event_handler handler) {
  for (int index = 0; index < LISTENERS; index++) {
    if (listeners[index] == handler) return;
    if (listeners[index] == NULL) {
      listeners[index] = handler;
      return;
    }
  }
}

void relay_sleep_in(PCSTR function, DWORD milliseconds) {
  lstrcpynA(sleeping, function, sizeof sleeping);
  sleep_ms = milliseconds;
}
