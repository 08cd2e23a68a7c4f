/* Opens named pipes for VMs: the relay asks for one by an event, and joins what connects to its port to a VM. */
#include <winsock2.h>
#include "relay-client.h"
#include "pipes.h"
#include <stdlib.h>
#include <wchar.h>

#define PIPE_EVENT 0x70000003

struct bridge {
  HANDLE pipe;
  SOCKET socket;
  /* Directions that still run. */
  volatile LONG running;
};

static void end(struct bridge *bridge) {
  /* A pipe has no halves: the other direction ends too. */
  CancelIoEx(bridge->pipe, NULL);
  shutdown(bridge->socket, SD_BOTH);
  if (InterlockedDecrement(&bridge->running) > 0) return;
  CloseHandle(bridge->pipe);
  closesocket(bridge->socket);
  free(bridge);
}

/* The bytes that a call on the pipe moves; 0 when it fails or the pipe has ended. */
static DWORD moved(HANDLE pipe, BOOL begun, OVERLAPPED *overlapped) {
  DWORD count = 0;
  if (!begun && GetLastError() != ERROR_IO_PENDING) return 0;
  return GetOverlappedResult(pipe, overlapped, &count, TRUE) ? count : 0;
}

static DWORD WINAPI from_pipe(void *argument) {
  struct bridge *bridge = argument;
  OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
  char bytes[16384];
  for (DWORD got; (got = moved(bridge->pipe, ReadFile(bridge->pipe, bytes, sizeof bytes, NULL, &overlapped),
                               &overlapped)) > 0;)
    for (int at = 0, sent; at < (int)got; at += sent)
      if ((sent = send(bridge->socket, bytes + at, (int)got - at, 0)) <= 0) goto over;
over:
  CloseHandle(overlapped.hEvent);
  end(bridge);
  return 0;
}

static DWORD WINAPI to_pipe(void *argument) {
  struct bridge *bridge = argument;
  OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
  char bytes[16384];
  for (int got; (got = recv(bridge->socket, bytes, sizeof bytes, 0)) > 0;)
    for (DWORD at = 0, put; at < (DWORD)got; at += put) {
      put = moved(bridge->pipe, WriteFile(bridge->pipe, bytes + at, (DWORD)got - at, NULL, &overlapped), &overlapped);
      if (put == 0) goto over;
    }
over:
  CloseHandle(overlapped.hEvent);
  end(bridge);
  return 0;
}

struct asked {
  u_short port;
  PWSTR path;
};

/* Connects even where the pipe cannot be opened: the end of the connection says so. */
static DWORD WINAPI open_pipe(void *argument) {
  struct asked *asked = argument;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(asked->port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SOCKET to = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
  BOOL connected = connect(to, (struct sockaddr *)&address, sizeof address) == 0;
  HANDLE pipe = !connected ? INVALID_HANDLE_VALUE
                           : CreateFileW(asked->path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                         FILE_FLAG_OVERLAPPED, NULL);
  free(asked->path);
  free(asked);
  if (pipe == INVALID_HANDLE_VALUE) {
    closesocket(to);
    return 0;
  }
  struct bridge *bridge = malloc(sizeof *bridge);
  *bridge = (struct bridge){pipe, to, 2};
  CloseHandle(CreateThread(NULL, 0, from_pipe, bridge, 0, NULL));
  CloseHandle(CreateThread(NULL, 0, to_pipe, bridge, 0, NULL));
  return 0;
}

void pipe_asked_for(ULONG64 object, DWORD type, PCWSTR data) {
  (void)object;
  if (type != PIPE_EVENT) return;
  PWSTR path;
  struct asked *asked = malloc(sizeof *asked);
  asked->port = (u_short)wcstoul(data, &path, 10);
  asked->path = _wcsdup(path + 1);
  CloseHandle(CreateThread(NULL, 0, open_pipe, asked, 0, NULL));
}
