/*
 * starter.exe pipe NAME: serves a named pipe of the container, whose clients the agent connects with a pipe of the host.
 * Frames begin with the number of a client: n a new one, d bytes, k the last d was taken, c the end. Either end has one d
 * on its way for each client. r says that the pipe exists.
 */
#include "frames.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define MOST_CLIENTS 256

struct client {
  HANDLE pipe, wake, leave, over;
  DWORD id;
  /* What the agent has said, under the lock: bytes to be written, and the end. */
  char *bytes;
  DWORD length;
  BOOL is_over;
};

static struct client *clients[MOST_CLIENTS];
static CRITICAL_SECTION lock;

static void send_bytes(const struct client *client, const char *bytes, DWORD length) {
  char *payload = malloc(4 + length);
  memcpy(payload, &client->id, 4);
  memcpy(payload + 4, bytes, length);
  send_frame('d', payload, 4 + length);
  free(payload);
}

static BOOL write_all(struct client *client, const char *bytes, DWORD length) {
  OVERLAPPED writing = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
  BOOL is_open = TRUE;
  for (DWORD offset = 0, put = 0; is_open && offset < length; offset += put) {
    is_open = WriteFile(client->pipe, bytes + offset, length - offset, NULL, &writing) ||
              GetLastError() == ERROR_IO_PENDING;
    if (is_open) is_open = GetOverlappedResult(client->pipe, &writing, &put, TRUE);
  }
  CloseHandle(writing.hEvent);
  return is_open;
}

static DWORD WINAPI write_client(void *argument) {
  struct client *client = argument;
  for (;;) {
    WaitForSingleObject(client->wake, INFINITE);
    EnterCriticalSection(&lock);
    char *bytes = client->bytes;
    DWORD length = client->length;
    client->bytes = NULL;
    BOOL is_over = client->is_over;
    LeaveCriticalSection(&lock);
    if (bytes) {
      BOOL is_open = write_all(client, bytes, length);
      free(bytes);
      if (is_open) send_number('k', client->id);
    }
    if (is_over) break;
  }
  SetEvent(client->over);
  return 0;
}

/* Bytes of the client; none at its end, or when the agent has ended it. */
static DWORD read_some(struct client *client, OVERLAPPED *reading, char *bytes) {
  HANDLE either[2] = {client->over, reading->hEvent};
  DWORD got = 0;
  if (!ReadFile(client->pipe, bytes, CHUNK, NULL, reading) && GetLastError() != ERROR_IO_PENDING) return 0;
  if (WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0) CancelIoEx(client->pipe, reading);
  return GetOverlappedResult(client->pipe, reading, &got, TRUE) ? got : 0;
}

static DWORD WINAPI serve_client(void *argument) {
  struct client *client = argument;
  HANDLE writer = CreateThread(NULL, 0, write_client, client, 0, NULL);
  OVERLAPPED reading = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
  HANDLE either[2] = {client->over, client->leave};
  char *bytes = malloc(CHUNK);
  send_number('n', client->id);
  for (DWORD got; (got = read_some(client, &reading, bytes)) != 0;) {
    send_bytes(client, bytes, got);
    if (WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0) break;
  }
  send_number('c', client->id);
  EnterCriticalSection(&lock);
  client->is_over = TRUE;
  LeaveCriticalSection(&lock);
  SetEvent(client->wake);
  WaitForSingleObject(writer, INFINITE);
  EnterCriticalSection(&lock);
  clients[client->id] = NULL;
  LeaveCriticalSection(&lock);
  /* What its client has not read yet stays for it. */
  HANDLE handles[] = {writer, client->pipe, client->wake, client->leave, client->over, reading.hEvent};
  for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) CloseHandle(handles[i]);
  free(client->bytes);
  free(client);
  free(bytes);
  return 0;
}

static HANDLE next_instance(const wchar_t *path) {
  return CreateNamedPipeW(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES,
                          CHUNK, CHUNK, 0, NULL);
}

static BOOL add_client(HANDLE pipe) {
  BOOL has_room = FALSE;
  EnterCriticalSection(&lock);
  for (DWORD id = 0; id < MOST_CLIENTS && !has_room; id++) {
    if (clients[id]) continue;
    has_room = TRUE;
    struct client *client = calloc(1, sizeof *client);
    *client = (struct client){.pipe = pipe, .id = id};
    client->wake = CreateEventW(NULL, FALSE, FALSE, NULL);
    client->leave = CreateEventW(NULL, FALSE, FALSE, NULL);
    client->over = CreateEventW(NULL, TRUE, FALSE, NULL);
    clients[id] = client;
    CloseHandle(CreateThread(NULL, 0, serve_client, client, 0, NULL));
  }
  LeaveCriticalSection(&lock);
  return has_room;
}

static DWORD WINAPI accept_clients(void *argument) {
  const wchar_t *path = argument;
  HANDLE pipe = next_instance(path);
  if (pipe == INVALID_HANDLE_VALUE) {
    send_number('f', GetLastError());
    ExitProcess(1);
  }
  send_frame('r', NULL, 0);
  for (;;) {
    OVERLAPPED connecting = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
    DWORD unused;
    if (!ConnectNamedPipe(pipe, &connecting) && GetLastError() == ERROR_IO_PENDING)
      GetOverlappedResult(pipe, &connecting, &unused, TRUE);
    CloseHandle(connecting.hEvent);
    /* Before this one is served, so that no client finds none. */
    HANDLE next = next_instance(path);
    if (!add_client(pipe)) CloseHandle(pipe);
    pipe = next;
  }
}

int serve_pipe(const wchar_t *name) {
  wchar_t path[512];
  char *payload;
  DWORD length, id;
  swprintf(path, sizeof path / sizeof *path, L"\\\\.\\pipe\\%ls", name);
  InitializeCriticalSection(&lock);
  CloseHandle(CreateThread(NULL, 0, accept_clients, path, 0, NULL));
  for (char kind; (kind = next_frame(&payload, &length)) != 0; free(payload)) {
    if (length < 4) return 2;
    memcpy(&id, payload, 4);
    if (id >= MOST_CLIENTS) return 2;
    EnterCriticalSection(&lock);
    struct client *client = clients[id];
    if (client && kind == 'd') {
      client->length = length - 4;
      client->bytes = malloc(client->length + 1);
      memcpy(client->bytes, payload + 4, client->length);
    } else if (client && kind == 'k') SetEvent(client->leave);
    else if (client && kind == 'c') client->is_over = TRUE;
    if (client && kind != 'k') SetEvent(client->wake);
    LeaveCriticalSection(&lock);
  }
  return 0;
}
