/* computecore.dll: what has events. Compute systems and processes, their callbacks and their ends. */
#include "operations.h"
#include <stdlib.h>
#include <wchar.h>

struct event {
  struct subject *subject;
  HCS_EVENT_TYPE type;
  PWSTR data;
  HCS_OPERATION operation;
};

/* With the lock held. */
static void drop(struct subject *subject) {
  if (--subject->references > 0) return;
  free(subject->end_document);
  if (subject->streams != NULL) free_streams(subject->streams);
  free(subject);
}

void release(struct subject *subject) {
  EnterCriticalSection(&core_lock);
  drop(subject);
  LeaveCriticalSection(&core_lock);
}

struct subject *subject_of(enum handle_kind kind, HANDLE handle) {
  EnterCriticalSection(&core_lock);
  struct subject *subject = host()->object_of(kind, handle);
  if (subject != NULL) subject->references++;
  LeaveCriticalSection(&core_lock);
  return subject;
}

struct subject *new_subject(enum handle_kind kind) {
  struct subject *subject = calloc(1, sizeof *subject);
  subject->kind = kind;
  subject->references = 1;
  subject->handle = host()->new_handle(kind, subject);
  return subject;
}

static void deliver(void *context) {
  struct event *event = context;
  struct subject *subject = event->subject;
  EnterCriticalSection(&core_lock);
  HCS_EVENT_CALLBACK callback = subject->closing ? NULL : subject->callback;
  void *callback_context = subject->context;
  if (callback != NULL) {
    subject->running++;
    subject->delivered++;
    subject->thread = GetCurrentThreadId();
    WakeAllConditionVariable(&core_changed);
  }
  LeaveCriticalSection(&core_lock);
  if (callback != NULL) {
    HCS_EVENT told = {event->type, event->data, event->operation};
    host()->count_callbacks(1);
    callback(&told, callback_context);
    host()->count_callbacks(-1);
  }
  EnterCriticalSection(&core_lock);
  if (callback != NULL) {
    subject->running--;
    WakeAllConditionVariable(&core_changed);
  }
  drop(subject);
  LeaveCriticalSection(&core_lock);
  free(event->data);
  free(event);
}

void notify(struct subject *subject, HCS_EVENT_TYPE type, PCWSTR data, HCS_OPERATION operation) {
  struct event *event = malloc(sizeof *event);
  *event = (struct event){subject, type, data == NULL ? NULL : _wcsdup(data), operation};
  EnterCriticalSection(&core_lock);
  subject->references++;
  if (type == HcsEventSystemExited || type == HcsEventProcessExited || type == HcsEventServiceDisconnect) {
    if (!subject->ended) {
      subject->end_result = type == HcsEventServiceDisconnect ? HCS_E_SERVICE_DISCONNECT : S_OK;
      subject->end_document = data == NULL ? NULL : _wcsdup(data);
    }
    subject->ended = TRUE;
    WakeAllConditionVariable(&core_changed);
  }
  LeaveCriticalSection(&core_lock);
  host()->post_event(deliver, event);
}

HRESULT set_callback(enum handle_kind kind, HANDLE handle, HCS_EVENT_OPTIONS options, const void *context,
                     HCS_EVENT_CALLBACK callback) {
  struct subject *subject = subject_of(kind, handle);
  if (subject == NULL) return E_HANDLE;
  if (host()->out_of_memory()) {
    release(subject);
    return E_OUTOFMEMORY;
  }
  EnterCriticalSection(&core_lock);
  subject->options = options;
  subject->context = (void *)context;
  subject->callback = callback;
  drop(subject);
  LeaveCriticalSection(&core_lock);
  return S_OK;
}

void close_subject(enum handle_kind kind, HANDLE handle, PCSTR function) {
  struct subject *subject = subject_of(kind, handle);
  if (subject == NULL) return;
  BOOL races = host()->callback_mode() == RACING_CLOSE && subject->callback != NULL;
  ULONG64 delivered = subject->delivered;
  if (races) notify(subject, HcsEventSystemGuestConnectionClosed, L"{}", NULL);
  EnterCriticalSection(&core_lock);
  while (races && subject->delivered == delivered) SleepConditionVariableCS(&core_changed, &core_lock, INFINITE);
  if (host()->close_handle(kind, handle) != NULL) subject->references--;
  subject->closing = TRUE;
  if (subject->running > 0 && subject->thread == GetCurrentThreadId())
    host()->misuse("a handle was closed from within its callback");
  else while (subject->running > 0) SleepConditionVariableCS(&core_changed, &core_lock, INFINITE);
  drop(subject);
  LeaveCriticalSection(&core_lock);
  struct number object = number((ULONG_PTR)handle);
  host()->call(NULL, function, 1, (PCWSTR[]){object.text});
}

HRESULT wait_for_end(enum handle_kind kind, HANDLE handle, DWORD timeout_ms, PWSTR *result) {
  if (result != NULL) *result = NULL;
  struct subject *subject = subject_of(kind, handle);
  if (subject == NULL) return E_HANDLE;
  ULONGLONG until = GetTickCount64() + timeout_ms;
  EnterCriticalSection(&core_lock);
  while (!subject->ended) {
    ULONGLONG now = GetTickCount64();
    if (timeout_ms != INFINITE && now >= until) break;
    SleepConditionVariableCS(&core_changed, &core_lock, timeout_ms == INFINITE ? INFINITE : (DWORD)(until - now));
  }
  HRESULT outcome = subject->ended ? subject->end_result : HCS_E_OPERATION_TIMEOUT;
  if (SUCCEEDED(outcome)) outcome = give_string(result, subject->end_document);
  drop(subject);
  LeaveCriticalSection(&core_lock);
  return outcome;
}

struct told {
  enum handle_kind kind;
  DWORD type;
  PCWSTR data;
};

static void tell(HANDLE handle, void *context) {
  const struct told *told = context;
  EnterCriticalSection(&core_lock);
  struct subject *subject = host()->object_if_open(told->kind, handle);
  if (subject != NULL) {
    if (told->type == HcsEventProcessExited) close_streams(subject, NULL);
    if (told->type == EVENT_STANDARD_INPUT_CLOSED) close_streams(subject, L"StdIn");
    else notify(subject, (HCS_EVENT_TYPE)told->type, told->data, NULL);
  }
  LeaveCriticalSection(&core_lock);
}

static void heard(ULONG64 object, DWORD type, PCWSTR data) {
  struct told of_system = {SYSTEMS, type, data}, of_process = {PROCESSES, type, data};
  if (object == 0) {
    host()->each_handle(SYSTEMS, tell, &of_system);
    host()->each_handle(PROCESSES, tell, &of_process);
  } else {
    BOOL process = type == HcsEventProcessExited || type == EVENT_STANDARD_INPUT_CLOSED;
    tell((HANDLE)(ULONG_PTR)object, process ? &of_process : &of_system);
  }
}

void listen_for_events(void) {
  host()->listen(heard);
}
