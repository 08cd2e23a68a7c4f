/*
 * What the DLLs of the test host share, in testhost.dll: the connection to the host relay, handles and strings that are
 * counted, threads for callbacks, and the settings. Each DLL finds it beside itself.
 */
#ifndef TESTHOST_H
#define TESTHOST_H

#include <windows.h>

enum handle_kind {
  OPERATIONS,
  SYSTEMS,
  PROCESSES,
  NETWORKS,
  ENDPOINTS,
  NAMESPACES,
  LOAD_BALANCERS,
  GUEST_NETWORK_SERVICES,
  SERVICE_CALLBACKS,
  HANDLE_KINDS
};

/* Handles of the system that stand for something here; they are closed by a front. */
enum tracked_kind { VIRTUAL_DISKS, STANDARD_STREAMS, VMMEM_HANDLES, SOCKETS, ADDRESS_ENTRIES, TRACKED_KINDS };

/* LocalFree frees the strings of the compute service, CoTaskMemFree those of networks. */
enum allocator { LOCAL, CO_TASK };

/* When and where callbacks run, and what becomes of a call whose answer is a failure. */
enum callback_mode {
  ON_WORKER = 0,
  BEFORE_RETURN = 1,
  ON_FRESH_THREAD = 2,
  RACING_CLOSE = 3,
  FAILING_AT_ONCE = 4,
  FAILING_AT_ONCE_AND_CALLING_BACK = 5
};

/* Takes the document over, which may be NULL; it is freed with free. */
typedef void (*answer_handler)(void *context, HRESULT result, PWSTR document);
/* An event of the relay: of the object with this number, or of all where it is 0. */
typedef void (*event_handler)(ULONG64 object, DWORD type, PCWSTR data);
typedef void (*handle_visitor)(HANDLE handle, void *context);

struct test_host {
  /* Asks the relay and waits. Arguments that are NULL arrive as absent. */
  HRESULT (*call)(PWSTR *document, PCSTR function, int count, const PCWSTR *arguments);
  /* As call, for what is given back: that never wants memory. */
  HRESULT (*give_back)(PCSTR function, PCWSTR argument);
  /* Asks the relay; the handler runs on the thread that reads, and must not wait. No answer comes after a failure. */
  HRESULT (*send)(answer_handler handler, void *context, PCSTR function, int count, const PCWSTR *arguments);
  /* Who hears of events. */
  void (*listen)(event_handler handler);
  /* Runs work on another thread: in order on the thread of events, or on one of several. */
  void (*post)(void (*work)(void *), void *context);
  void (*post_event)(void (*work)(void *), void *context);
  enum callback_mode (*callback_mode)(void);
  /* TRUE when the call that was to fail for want of memory is this one. */
  BOOL (*out_of_memory)(void);

  HANDLE (*new_handle)(enum handle_kind kind, void *object);
  /* NULL, and one misuse more, for what is no such handle. */
  void *(*object_of)(enum handle_kind kind, HANDLE handle);
  void *(*close_handle)(enum handle_kind kind, HANDLE handle);
  /* As object_of, for handles that may well be closed by now. */
  void *(*object_if_open)(enum handle_kind kind, HANDLE handle);
  void (*each_handle)(enum handle_kind kind, handle_visitor visit, void *context);
  /* A copy for the caller to free, in the way that this kind of string is freed. */
  PWSTR (*result_string)(PCWSTR text, enum allocator allocator);
  /* TRUE when it was a result string: then it is freed, or has been before. */
  BOOL (*free_string)(void *string, enum allocator allocator);
  /* Notes what a handle of the system stands for, with a number that is not 0. */
  void (*track)(enum tracked_kind kind, HANDLE handle, ULONG64 value);
  /* The number, or 0 for a handle that stands for no such thing. */
  ULONG64 (*tracked)(enum tracked_kind kind, HANDLE handle);
  /* As tracked, and forgets it, before the system gives the handle to somebody else. */
  ULONG64 (*untrack)(enum tracked_kind kind, HANDLE handle);
  /* Callbacks that run. */
  void (*count_callbacks)(int change);
  /* Notes that a caller did what no caller may. */
  void (*misuse)(PCSTR what);
};

__declspec(dllexport) const struct test_host *test_host_functions(void);

/* The functions of the testhost.dll beside the caller's own DLL. */
static inline const struct test_host *host(void) {
  static const struct test_host *functions;
  if (functions == NULL) {
    HMODULE self;
    WCHAR path[MAX_PATH];
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       (PCWSTR)(ULONG_PTR)&functions, &self);
    GetModuleFileNameW(self, path, MAX_PATH);
    lstrcpyW(wcsrchr(path, L'\\') + 1, L"testhost.dll");
    HMODULE library = LoadLibraryW(path);
    if (library == NULL) FatalAppExitW(0, L"testhost.dll is not beside the DLL of the test host");
    functions = ((const struct test_host *(*)(void))(void *)GetProcAddress(library, "test_host_functions"))();
  }
  return functions;
}

/* Numbers are decimal text in arguments. */
struct number {
  WCHAR text[24];
};

static inline struct number number(ULONG64 value) {
  struct number result;
  wsprintfW(result.text, L"%I64u", value);
  return result;
}

#endif
