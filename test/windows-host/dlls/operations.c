/* computecore.dll: operations, from their creation to their result. */
#include "operations.h"
#include <stdlib.h>
#include <wchar.h>

enum state { IDLE, PENDING, DONE };

struct operation {
  HCS_OPERATION handle;
  ULONG64 id;
  void *context;
  HCS_OPERATION_COMPLETION callback;
  HCS_OPERATION_TYPE type;
  enum state state;
  HRESULT result;
  PWSTR document;
  struct subject *subject;
  completion_step step;
  void *step_context;
  enum callback_mode mode;
  DWORD calling_thread;
  int references;
  BOOL closed, calling, called;
};

CRITICAL_SECTION core_lock;
CONDITION_VARIABLE core_changed;
static ULONG64 last_id;

static void drop(struct operation *operation) {
  if (--operation->references > 0) return;
  if (operation->subject != NULL) release(operation->subject);
  free(operation->document);
  free(operation);
}

/* Enters the lock, and returns the open operation or, without the lock, NULL. */
static struct operation *enter(HCS_OPERATION handle) {
  EnterCriticalSection(&core_lock);
  struct operation *operation = host()->object_of(OPERATIONS, handle);
  if (operation == NULL) LeaveCriticalSection(&core_lock);
  return operation;
}

HRESULT give_string(PWSTR *to, PCWSTR text) {
  if (to == NULL) return S_OK;
  *to = NULL;
  if (text == NULL) return S_OK;
  if (host()->out_of_memory()) return HCS_E_OPERATION_RESULT_ALLOCATION_FAILED;
  *to = host()->result_string(text, LOCAL);
  return S_OK;
}

/* Calls back unless the operation was closed meanwhile. */
static void call_back(void *context) {
  struct operation *operation = context;
  EnterCriticalSection(&core_lock);
  if (!operation->closed && !operation->called) {
    operation->calling = operation->called = TRUE;
    operation->calling_thread = GetCurrentThreadId();
    WakeAllConditionVariable(&core_changed);
    HCS_OPERATION_COMPLETION callback = operation->callback;
    void *callback_context = operation->context;
    LeaveCriticalSection(&core_lock);
    host()->count_callbacks(1);
    callback(operation->handle, callback_context);
    host()->count_callbacks(-1);
    EnterCriticalSection(&core_lock);
    operation->calling = FALSE;
    WakeAllConditionVariable(&core_changed);
  }
  drop(operation);
  LeaveCriticalSection(&core_lock);
}

/* With the lock held. */
static void call_back_elsewhere(struct operation *operation) {
  if (operation->callback != NULL) {
    operation->references++;
    host()->post(call_back, operation);
  } else if (operation->subject != NULL && operation->subject->options == HcsEventOptionEnableOperationCallbacks) {
    notify(operation->subject, HcsEventOperationCallback, NULL, operation->handle);
  }
}

static BOOL waits_for_answer(const struct operation *operation) {
  enum callback_mode mode = operation->mode;
  return mode == BEFORE_RETURN || mode == FAILING_AT_ONCE || mode == FAILING_AT_ONCE_AND_CALLING_BACK;
}

static void answered(void *context, HRESULT result, PWSTR document) {
  struct operation *operation = context;
  if (operation->step != NULL) operation->step(operation->step_context, result, &document);
  EnterCriticalSection(&core_lock);
  operation->state = DONE;
  operation->result = result;
  operation->document = document;
  WakeAllConditionVariable(&core_changed);
  if (!operation->closed && !waits_for_answer(operation)) call_back_elsewhere(operation);
  drop(operation);
  LeaveCriticalSection(&core_lock);
}

/* The ways that a setting chooses of answering a call: its callback before it returns, or its failure as its result. */
static HRESULT answer_at_once(struct operation *operation) {
  EnterCriticalSection(&core_lock);
  while (operation->state == PENDING) SleepConditionVariableCS(&core_changed, &core_lock, INFINITE);
  BOOL fails = FAILED(operation->result) && operation->mode != BEFORE_RETURN;
  HRESULT result = fails ? operation->result : S_OK;
  if (fails && operation->mode == FAILING_AT_ONCE_AND_CALLING_BACK) call_back_elsewhere(operation);
  BOOL calls = !fails && operation->mode == BEFORE_RETURN && operation->callback != NULL;
  if (calls) operation->references++;
  else if (!fails) call_back_elsewhere(operation);
  LeaveCriticalSection(&core_lock);
  if (calls) call_back(operation);
  return result;
}

HRESULT begin(HCS_OPERATION handle, HCS_OPERATION_TYPE type, struct subject *subject, completion_step step,
              void *context, PCSTR function, int count, const PCWSTR *arguments) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return E_HANDLE;
  HRESULT refused = S_OK;
  if (operation->state != IDLE) refused = HCS_E_OPERATION_ALREADY_STARTED;
  else if (operation->callback != NULL && subject != NULL &&
           subject->options == HcsEventOptionEnableOperationCallbacks)
    refused = HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET;
  if (FAILED(refused)) {
    LeaveCriticalSection(&core_lock);
    return refused;
  }
  operation->state = PENDING;
  operation->mode = host()->callback_mode();
  operation->type = type;
  operation->subject = subject;
  if (subject != NULL) subject->references++;
  operation->step = step;
  operation->step_context = context;
  /* One for the answer, one for this call. */
  operation->references += 2;
  LeaveCriticalSection(&core_lock);
  HRESULT result = host()->send(answered, operation, function, count, arguments);
  if (SUCCEEDED(result) && waits_for_answer(operation)) result = answer_at_once(operation);
  EnterCriticalSection(&core_lock);
  if (FAILED(result)) {
    /* Of what was not sent there is no answer, which would drop this. */
    if (operation->state == PENDING) operation->references--;
    operation->state = IDLE;
  }
  drop(operation);
  LeaveCriticalSection(&core_lock);
  return result;
}

HCS_OPERATION WINAPI HcsCreateOperation(const void *context, HCS_OPERATION_COMPLETION callback) {
  if (host()->out_of_memory()) return NULL;
  struct operation *operation = calloc(1, sizeof *operation);
  operation->context = (void *)context;
  operation->callback = callback;
  operation->type = HcsOperationTypeNone;
  operation->references = 1;
  EnterCriticalSection(&core_lock);
  operation->id = ++last_id;
  operation->handle = host()->new_handle(OPERATIONS, operation);
  LeaveCriticalSection(&core_lock);
  return operation->handle;
}

void WINAPI HcsCloseOperation(HCS_OPERATION handle) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return;
  if (host()->callback_mode() == RACING_CLOSE && operation->state == PENDING && operation->callback != NULL) {
    call_back_elsewhere(operation);
    while (!operation->called) SleepConditionVariableCS(&core_changed, &core_lock, INFINITE);
  }
  host()->close_handle(OPERATIONS, handle);
  operation->closed = TRUE;
  while (operation->calling && operation->calling_thread != GetCurrentThreadId())
    SleepConditionVariableCS(&core_changed, &core_lock, INFINITE);
  drop(operation);
  LeaveCriticalSection(&core_lock);
}

void *WINAPI HcsGetOperationContext(HCS_OPERATION handle) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return NULL;
  void *context = operation->context;
  LeaveCriticalSection(&core_lock);
  return context;
}

HRESULT WINAPI HcsSetOperationContext(HCS_OPERATION handle, const void *context) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return E_HANDLE;
  operation->context = (void *)context;
  LeaveCriticalSection(&core_lock);
  return S_OK;
}

HRESULT WINAPI HcsSetOperationCallback(HCS_OPERATION handle, const void *context, HCS_OPERATION_COMPLETION callback) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return E_HANDLE;
  BOOL idle = operation->state == IDLE;
  if (idle) {
    operation->context = (void *)context;
    operation->callback = callback;
  }
  LeaveCriticalSection(&core_lock);
  return idle ? S_OK : HCS_E_OPERATION_ALREADY_STARTED;
}

static HANDLE tracked(HCS_OPERATION handle, enum handle_kind kind) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return NULL;
  struct subject *subject = operation->subject;
  HANDLE found = subject != NULL && subject->kind == kind ? subject->handle : NULL;
  LeaveCriticalSection(&core_lock);
  return found;
}

HCS_SYSTEM WINAPI HcsGetComputeSystemFromOperation(HCS_OPERATION handle) {
  return tracked(handle, SYSTEMS);
}

HCS_PROCESS WINAPI HcsGetProcessFromOperation(HCS_OPERATION handle) {
  return tracked(handle, PROCESSES);
}

HCS_OPERATION_TYPE WINAPI HcsGetOperationType(HCS_OPERATION handle) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return HcsOperationTypeNone;
  HCS_OPERATION_TYPE type = operation->type;
  LeaveCriticalSection(&core_lock);
  return type;
}

UINT64 WINAPI HcsGetOperationId(HCS_OPERATION handle) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return HCS_INVALID_OPERATION_ID;
  UINT64 id = operation->id;
  LeaveCriticalSection(&core_lock);
  return id;
}

/* As Microsoft's reference says of the real one. */
HRESULT WINAPI HcsCancelOperation(HCS_OPERATION handle) {
  struct operation *operation = enter(handle);
  if (operation == NULL) return E_HANDLE;
  LeaveCriticalSection(&core_lock);
  return E_NOTIMPL;
}

/* The result of an operation that has ended, or HCS_E_OPERATION_TIMEOUT or HCS_E_OPERATION_PENDING. */
static HRESULT result_of(HCS_OPERATION handle, DWORD timeout_ms, HRESULT too_early, BOOL wants_process,
                         HCS_PROCESS_INFORMATION *information, PWSTR *document) {
  if (document != NULL) *document = NULL;
  struct operation *operation = enter(handle);
  if (operation == NULL) return E_HANDLE;
  ULONGLONG until = GetTickCount64() + timeout_ms;
  while (operation->state == PENDING) {
    ULONGLONG now = GetTickCount64();
    if (timeout_ms != INFINITE && now >= until) break;
    SleepConditionVariableCS(&core_changed, &core_lock, timeout_ms == INFINITE ? INFINITE : (DWORD)(until - now));
  }
  HRESULT result = operation->state == IDLE ? HCS_E_OPERATION_NOT_STARTED
                   : operation->state == PENDING ? too_early : operation->result;
  if (operation->state == DONE) {
    BOOL of_process = operation->type == HcsOperationTypeCreateProcess ||
                      operation->type == HcsOperationTypeGetProcessInfo;
    if (wants_process && !of_process) result = E_INVALIDARG;
    else {
      if (wants_process && SUCCEEDED(result) && information != NULL)
        process_information(operation->subject, information);
      HRESULT given = give_string(document, operation->document);
      if (FAILED(given)) result = given;
    }
  }
  LeaveCriticalSection(&core_lock);
  return result;
}

HRESULT WINAPI HcsGetOperationResult(HCS_OPERATION handle, PWSTR *document) {
  return result_of(handle, 0, HCS_E_OPERATION_PENDING, FALSE, NULL, document);
}

HRESULT WINAPI HcsWaitForOperationResult(HCS_OPERATION handle, DWORD timeout_ms, PWSTR *document) {
  return result_of(handle, timeout_ms, HCS_E_OPERATION_TIMEOUT, FALSE, NULL, document);
}

HRESULT WINAPI HcsGetOperationResultAndProcessInfo(HCS_OPERATION handle, HCS_PROCESS_INFORMATION *information,
                                                   PWSTR *document) {
  return result_of(handle, 0, HCS_E_OPERATION_PENDING, TRUE, information, document);
}

HRESULT WINAPI HcsWaitForOperationResultAndProcessInfo(HCS_OPERATION handle, DWORD timeout_ms,
                                                       HCS_PROCESS_INFORMATION *information, PWSTR *document) {
  return result_of(handle, timeout_ms, HCS_E_OPERATION_TIMEOUT, TRUE, information, document);
}
