/* Operations of computecore.dll, and what they track. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "testhost.h"
#include <computecore.h>

/* An event of the relay that is for this DLL: a process gets no more from its standard input. */
#define EVENT_STANDARD_INPUT_CLOSED 0x70000001

/* Of winerror.h; mingw-w64's has none of the compute service's. */
#define HCS_E_OPERATION_NOT_STARTED ((HRESULT)0x80370115)
#define HCS_E_OPERATION_ALREADY_STARTED ((HRESULT)0x80370116)
#define HCS_E_OPERATION_PENDING ((HRESULT)0x80370117)
#define HCS_E_OPERATION_TIMEOUT ((HRESULT)0x80370118)
#define HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET ((HRESULT)0x80370119)
#define HCS_E_OPERATION_RESULT_ALLOCATION_FAILED ((HRESULT)0x8037011A)
#define HCS_E_SERVICE_DISCONNECT ((HRESULT)0x8037011E)

/* Guards everything of computecore.dll; changed is signalled whenever an operation ends or a callback returns. */
extern CRITICAL_SECTION core_lock;
extern CONDITION_VARIABLE core_changed;

/* Whose events a callback hears: a compute system or a process. */
struct subject {
  HANDLE handle;
  enum handle_kind kind;
  HCS_EVENT_OPTIONS options;
  void *context;
  HCS_EVENT_CALLBACK callback;
  /* Callbacks that run, the thread of the latest, and how many there were. */
  int running;
  DWORD thread;
  ULONG64 delivered;
  BOOL closing, ended;
  HRESULT end_result;
  PWSTR end_document;
  /* References: the open handle, and whatever is under way. */
  int references;
  /* Of a process: its standard streams. */
  struct streams *streams;
};

/* May take the document away, which then is no part of the result. */
typedef void (*completion_step)(void *context, HRESULT result, PWSTR *document);

/* Asks the relay on behalf of an operation. The step, if any, runs before the operation ends. */
HRESULT begin(HCS_OPERATION operation, HCS_OPERATION_TYPE type, struct subject *subject, completion_step step,
              void *context, PCSTR function, int count, const PCWSTR *arguments);

/* The subject of an open handle with a reference more, NULL for what is no such handle. */
struct subject *subject_of(enum handle_kind kind, HANDLE handle);
struct subject *new_subject(enum handle_kind kind);
void release(struct subject *subject);
HRESULT set_callback(enum handle_kind kind, HANDLE handle, HCS_EVENT_OPTIONS options, const void *context,
                     HCS_EVENT_CALLBACK callback);
/* Takes the handle away, waits for callbacks that run, and tells the relay. */
void close_subject(enum handle_kind kind, HANDLE handle, PCSTR function);
HRESULT wait_for_end(enum handle_kind kind, HANDLE handle, DWORD timeout_ms, PWSTR *result);
/* An event for whoever listens to the subject. */
void notify(struct subject *subject, HCS_EVENT_TYPE type, PCWSTR data, HCS_OPERATION operation);
/* Hears of the relay's events from the first call on. */
void listen_for_events(void);
/* A process of a compute system has begun: its streams as the relay says. */
void open_streams(struct subject *process, PCWSTR description);
/* A stream's end at the process is closed, or with them all. */
void close_streams(struct subject *process, PCWSTR which);
void free_streams(struct streams *streams);
/* Gives the caller the ends of a process's streams, once. With the lock held. */
void process_information(struct subject *process, HCS_PROCESS_INFORMATION *information);
/* A copy of the text when there is one, in the caller's ownership. */
HRESULT give_string(PWSTR *to, PCWSTR text);

#endif
