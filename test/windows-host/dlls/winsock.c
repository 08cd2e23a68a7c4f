/*
 * winsock.dll of the test host: stands before ws2_32.dll. An AF_HYPERV socket is one of the loopback network, so that
 * overlapped calls and completion ports are the system's own; the relay joins it to whoever it talks to. All other
 * functions are forwarded. The names of its functions have a prefix, since the system's own are called here too.
 */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include "testhost.h"
#include <hvsocket.h>
#include <objbase.h>
#include <stdlib.h>

/* Of the Windows SDK's ws2def.h; mingw-w64's has families up to 33. */
#ifndef AF_HYPERV
#define AF_HYPERV 34
#endif

/* What a socket of ours is. */
enum role { CONNECTS = 1, SERVES };

static LPFN_CONNECTEX connect_ex;

#define FRONT(function) __typeof__(function) front_##function

FRONT(WSASocketW);
FRONT(bind);
FRONT(setsockopt);
FRONT(closesocket);
FRONT(WSAIoctl);

/* 0 for a socket that is not AF_HYPERV's. */
static ULONG64 role_of(SOCKET socket) {
  return host()->tracked(SOCKETS, (HANDLE)socket);
}

static int fail(int error) {
  WSASetLastError(error);
  return SOCKET_ERROR;
}

static PCWSTR guid_text(WCHAR text[40], const GUID *guid) {
  StringFromGUID2(guid, text, 40);
  text[37] = 0;
  return text + 1;
}

static struct sockaddr_in loopback(u_short port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

SOCKET WSAAPI front_WSASocketW(int family, int type, int protocol, LPWSAPROTOCOL_INFOW information, GROUP group,
                               DWORD flags) {
  if (family != AF_HYPERV) return WSASocketW(family, type, protocol, information, group, flags);
  if (type != SOCK_STREAM || protocol != HV_PROTOCOL_RAW) return (SOCKET)fail(WSAEPROTONOSUPPORT);
  if (host()->out_of_memory()) return (SOCKET)fail(WSAENOBUFS);
  SOCKET socket = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, group, flags);
  if (socket == INVALID_SOCKET) return socket;
  BOOL at_once = TRUE;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, (char *)&at_once, sizeof at_once);
  host()->track(SOCKETS, (HANDLE)socket, CONNECTS);
  return socket;
}

/* With a service the socket is going to listen, and the relay has to know where. */
int WSAAPI front_bind(SOCKET socket, const struct sockaddr *name, int length) {
  if (role_of(socket) == 0) return bind(socket, name, length);
  const SOCKADDR_HV *address = (const SOCKADDR_HV *)name;
  if (length < (int)sizeof *address) return fail(WSAEFAULT);
  if (address->Family != AF_HYPERV) return fail(WSAEAFNOSUPPORT);
  struct sockaddr_in own = loopback(0);
  int own_length = sizeof own;
  if (bind(socket, (struct sockaddr *)&own, sizeof own) != 0) return SOCKET_ERROR;
  if (IsEqualGUID(&address->ServiceId, &HV_GUID_ZERO)) return 0;
  getsockname(socket, (struct sockaddr *)&own, &own_length);
  WCHAR vm[40], service[40];
  struct number which = number(socket), port = number(ntohs(own.sin_port));
  HRESULT result = host()->call(NULL, "hvsocketListen", 4,
                                (PCWSTR[]){which.text, guid_text(vm, &address->VmId),
                                           guid_text(service, &address->ServiceId), port.text});
  if (result == HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)) return fail(WSAEADDRINUSE);
  if (FAILED(result)) return fail(WSAEADDRNOTAVAIL);
  host()->track(SOCKETS, (HANDLE)socket, SERVES);
  return 0;
}

int WSAAPI front_setsockopt(SOCKET socket, int level, int option, const char *value, int length) {
  if (level == HV_PROTOCOL_RAW && role_of(socket) != 0) return 0;
  return setsockopt(socket, level, option, value, length);
}

static void ignore(void *context, HRESULT result, PWSTR document) {
  (void)context, (void)result;
  free(document);
}

int WSAAPI front_closesocket(SOCKET socket) {
  struct number which = number(socket);
  if (host()->untrack(SOCKETS, (HANDLE)socket) == SERVES)
    host()->send(ignore, NULL, "hvsocketStop", 1, (PCWSTR[]){which.text});
  return closesocket(socket);
}

/* A port of the loopback network where nobody listens, for the system to refuse a connection by itself. */
static u_short refusing_port(void) {
  static u_short port;
  if (port == 0) {
    struct sockaddr_in own = loopback(0);
    int length = sizeof own;
    SOCKET held = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, 0);
    bind(held, (struct sockaddr *)&own, sizeof own);
    getsockname(held, (struct sockaddr *)&own, &length);
    port = ntohs(own.sin_port);
  }
  return port;
}

static BOOL PASCAL connect_hyperv(SOCKET socket, const struct sockaddr *name, int length, PVOID bytes, DWORD size,
                                  LPDWORD sent, LPOVERLAPPED overlapped) {
  const SOCKADDR_HV *address = (const SOCKADDR_HV *)name;
  if (name->sa_family != AF_HYPERV) return connect_ex(socket, name, length, bytes, size, sent, overlapped);
  if (length < (int)sizeof *address) return fail(WSAEFAULT) == 0;
  WCHAR vm[40], service[40];
  PWSTR document = NULL;
  HRESULT result =
      host()->call(&document, "hvsocketDial", 2,
                   (PCWSTR[]){guid_text(vm, &address->VmId), guid_text(service, &address->ServiceId)});
  struct sockaddr_in to = loopback(SUCCEEDED(result) ? (u_short)_wtoi(document) : refusing_port());
  free(document);
  return connect_ex(socket, (struct sockaddr *)&to, sizeof to, bytes, size, sent, overlapped);
}

int WSAAPI front_WSAIoctl(SOCKET socket, DWORD code, LPVOID in, DWORD in_size, LPVOID out, DWORD out_size, LPDWORD returned,
                          LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
  static const GUID wanted = WSAID_CONNECTEX;
  int result = WSAIoctl(socket, code, in, in_size, out, out_size, returned, overlapped, routine);
  if (result == 0 && code == SIO_GET_EXTENSION_FUNCTION_POINTER && in_size == sizeof wanted &&
      IsEqualGUID((const GUID *)in, &wanted) && role_of(socket) != 0) {
    connect_ex = *(LPFN_CONNECTEX *)out;
    *(LPFN_CONNECTEX *)out = connect_hyperv;
  }
  return result;
}
