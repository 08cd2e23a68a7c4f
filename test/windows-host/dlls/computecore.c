/* computecore.dll of the test host: the functions of computecore.h, answered by the emulated host. */
#include "computecore-newer.h"
#include "operations.h"
#include <stdlib.h>

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved) {
  (void)instance, (void)reserved;
  if (reason == DLL_PROCESS_ATTACH) {
    InitializeCriticalSection(&core_lock);
    InitializeConditionVariable(&core_changed);
  }
  return TRUE;
}

/* An operation on an open system or process, with one document. */
static HRESULT operate(enum handle_kind kind, HANDLE handle, HCS_OPERATION operation, HCS_OPERATION_TYPE type,
                       completion_step step, PCSTR function, PCWSTR document) {
  struct subject *subject = subject_of(kind, handle);
  if (subject == NULL) return E_HANDLE;
  struct number object = number((ULONG_PTR)handle);
  HRESULT result =
      begin(operation, type, subject, step, subject, function, 2, (PCWSTR[]){object.text, document});
  release(subject);
  return result;
}

static HRESULT system_operation(HCS_SYSTEM system, HCS_OPERATION operation, HCS_OPERATION_TYPE type, PCSTR function,
                                PCWSTR document) {
  return operate(SYSTEMS, system, operation, type, NULL, function, document);
}

static HRESULT process_operation(HCS_PROCESS process, HCS_OPERATION operation, HCS_OPERATION_TYPE type, PCSTR function,
                                 PCWSTR document) {
  return operate(PROCESSES, process, operation, type, NULL, function, document);
}

/* A call that the service answers at once, with a document where it is wanted. */
static HRESULT ask(PWSTR *result, PCSTR function, int count, const PCWSTR *arguments) {
  PWSTR document = NULL;
  if (result != NULL) *result = NULL;
  HRESULT outcome = host()->call(&document, function, count, arguments);
  HRESULT given = give_string(result, document);
  free(document);
  return FAILED(given) ? given : outcome;
}

HRESULT WINAPI HcsEnumerateComputeSystems(PCWSTR query, HCS_OPERATION operation) {
  return begin(operation, HcsOperationTypeEnumerate, NULL, NULL, NULL, "HcsEnumerateComputeSystems", 1, &query);
}

HRESULT WINAPI HcsEnumerateComputeSystemsInNamespace(PCWSTR id_namespace, PCWSTR query, HCS_OPERATION operation) {
  return begin(operation, HcsOperationTypeEnumerate, NULL, NULL, NULL, "HcsEnumerateComputeSystemsInNamespace", 2,
               (PCWSTR[]){id_namespace, query});
}

static HRESULT create_system(PCSTR function, PCWSTR id_namespace, PCWSTR id, PCWSTR configuration,
                             HCS_OPERATION operation, HCS_SYSTEM *system) {
  if (system == NULL) return E_POINTER;
  *system = NULL;
  listen_for_events();
  struct subject *subject = new_subject(SYSTEMS);
  struct number object = number((ULONG_PTR)subject->handle);
  HRESULT result = begin(operation, HcsOperationTypeCreate, subject, NULL, NULL, function, 4,
                         (PCWSTR[]){object.text, id, configuration, id_namespace});
  if (SUCCEEDED(result)) *system = (HCS_SYSTEM)subject->handle;
  else close_subject(SYSTEMS, subject->handle, "HcsCloseComputeSystem");
  return result;
}

HRESULT WINAPI HcsCreateComputeSystem(PCWSTR id, PCWSTR configuration, HCS_OPERATION operation,
                                      const SECURITY_DESCRIPTOR *security, HCS_SYSTEM *system) {
  (void)security;
  return create_system("HcsCreateComputeSystem", NULL, id, configuration, operation, system);
}

HRESULT WINAPI HcsCreateComputeSystemInNamespace(PCWSTR id_namespace, PCWSTR id, PCWSTR configuration,
                                                 HCS_OPERATION operation, const HCS_CREATE_OPTIONS *options,
                                                 HCS_SYSTEM *system) {
  (void)options;
  return create_system("HcsCreateComputeSystemInNamespace", id_namespace, id, configuration, operation, system);
}

static HRESULT open_subject(enum handle_kind kind, PCSTR function, PCSTR close, PCWSTR which, PCWSTR of,
                            HANDLE *opened) {
  PWSTR document = NULL;
  if (opened == NULL) return E_POINTER;
  *opened = NULL;
  listen_for_events();
  struct subject *subject = new_subject(kind);
  struct number object = number((ULONG_PTR)subject->handle);
  HRESULT result = host()->call(&document, function, 3, (PCWSTR[]){object.text, which, of});
  if (SUCCEEDED(result) && kind == PROCESSES) open_streams(subject, document);
  free(document);
  if (SUCCEEDED(result)) *opened = subject->handle;
  else close_subject(kind, subject->handle, close);
  return result;
}

HRESULT WINAPI HcsOpenComputeSystem(PCWSTR id, DWORD access, HCS_SYSTEM *system) {
  (void)access;
  return open_subject(SYSTEMS, "HcsOpenComputeSystem", "HcsCloseComputeSystem", id, NULL, (HANDLE *)system);
}

HRESULT WINAPI HcsOpenComputeSystemInNamespace(PCWSTR id_namespace, PCWSTR id, DWORD access, HCS_SYSTEM *system) {
  (void)access;
  return open_subject(SYSTEMS, "HcsOpenComputeSystemInNamespace", "HcsCloseComputeSystem", id, id_namespace,
                      (HANDLE *)system);
}

void WINAPI HcsCloseComputeSystem(HCS_SYSTEM system) {
  close_subject(SYSTEMS, system, "HcsCloseComputeSystem");
}

HRESULT WINAPI HcsStartComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeStart, "HcsStartComputeSystem", options);
}

HRESULT WINAPI HcsShutDownComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeShutdown, "HcsShutDownComputeSystem", options);
}

HRESULT WINAPI HcsTerminateComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeTerminate, "HcsTerminateComputeSystem", options);
}

HRESULT WINAPI HcsCrashComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeCrash, "HcsCrashComputeSystem", options);
}

HRESULT WINAPI HcsPauseComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypePause, "HcsPauseComputeSystem", options);
}

HRESULT WINAPI HcsResumeComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeResume, "HcsResumeComputeSystem", options);
}

HRESULT WINAPI HcsSaveComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeSave, "HcsSaveComputeSystem", options);
}

HRESULT WINAPI HcsGetComputeSystemProperties(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR query) {
  return system_operation(system, operation, HcsOperationTypeGetProperties, "HcsGetComputeSystemProperties", query);
}

HRESULT WINAPI HcsModifyComputeSystem(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR configuration,
                                      HANDLE identity) {
  (void)identity;
  return system_operation(system, operation, HcsOperationTypeModify, "HcsModifyComputeSystem", configuration);
}

HRESULT WINAPI HcsInitializeLiveMigrationOnSource(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeNone, "HcsInitializeLiveMigrationOnSource", options);
}

HRESULT WINAPI HcsStartLiveMigrationOnSource(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeNone, "HcsStartLiveMigrationOnSource", options);
}

HRESULT WINAPI HcsStartLiveMigrationTransfer(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeNone, "HcsStartLiveMigrationTransfer", options);
}

HRESULT WINAPI HcsFinalizeLiveMigration(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeNone, "HcsFinalizeLiveMigration", options);
}

HRESULT WINAPI HcsCancelLiveMigration(HCS_SYSTEM system, HCS_OPERATION operation, PCWSTR options) {
  return system_operation(system, operation, HcsOperationTypeNone, "HcsCancelLiveMigration", options);
}

HRESULT WINAPI HcsWaitForComputeSystemExit(HCS_SYSTEM system, DWORD timeout_ms, PWSTR *result) {
  return wait_for_end(SYSTEMS, system, timeout_ms, result);
}

HRESULT WINAPI HcsSetComputeSystemCallback(HCS_SYSTEM system, HCS_EVENT_OPTIONS options, const void *context,
                                           HCS_EVENT_CALLBACK callback) {
  return set_callback(SYSTEMS, system, options, context, callback);
}

static void started(void *context, HRESULT result, PWSTR *description) {
  if (FAILED(result)) return;
  open_streams(context, *description);
  free(*description);
  *description = NULL;
}

HRESULT WINAPI HcsCreateProcess(HCS_SYSTEM system, PCWSTR parameters, HCS_OPERATION operation,
                                const SECURITY_DESCRIPTOR *security, HCS_PROCESS *process) {
  (void)security;
  if (process == NULL) return E_POINTER;
  *process = NULL;
  struct subject *of = subject_of(SYSTEMS, system);
  if (of == NULL) return E_HANDLE;
  release(of);
  struct subject *subject = new_subject(PROCESSES);
  struct number object = number((ULONG_PTR)subject->handle), parent = number((ULONG_PTR)system);
  HRESULT result = begin(operation, HcsOperationTypeCreateProcess, subject, started, subject, "HcsCreateProcess", 3,
                         (PCWSTR[]){object.text, parent.text, parameters});
  if (SUCCEEDED(result)) *process = (HCS_PROCESS)subject->handle;
  else close_subject(PROCESSES, subject->handle, "HcsCloseProcess");
  return result;
}

HRESULT WINAPI HcsOpenProcess(HCS_SYSTEM system, DWORD id, DWORD access, HCS_PROCESS *process) {
  (void)access;
  struct number which = number(id), parent = number((ULONG_PTR)system);
  return open_subject(PROCESSES, "HcsOpenProcess", "HcsCloseProcess", which.text, parent.text, (HANDLE *)process);
}

void WINAPI HcsCloseProcess(HCS_PROCESS process) {
  close_subject(PROCESSES, process, "HcsCloseProcess");
}

HRESULT WINAPI HcsTerminateProcess(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR options) {
  return process_operation(process, operation, HcsOperationTypeTerminate, "HcsTerminateProcess", options);
}

HRESULT WINAPI HcsSignalProcess(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR options) {
  return process_operation(process, operation, HcsOperationTypeSignalProcess, "HcsSignalProcess", options);
}

HRESULT WINAPI HcsGetProcessInfo(HCS_PROCESS process, HCS_OPERATION operation) {
  return process_operation(process, operation, HcsOperationTypeGetProcessInfo, "HcsGetProcessInfo", NULL);
}

HRESULT WINAPI HcsGetProcessProperties(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR query) {
  return process_operation(process, operation, HcsOperationTypeGetProcessProperties, "HcsGetProcessProperties", query);
}

HRESULT WINAPI HcsModifyProcess(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR settings) {
  return process_operation(process, operation, HcsOperationTypeModifyProcess, "HcsModifyProcess", settings);
}

HRESULT WINAPI HcsSetProcessCallback(HCS_PROCESS process, HCS_EVENT_OPTIONS options, void *context,
                                     HCS_EVENT_CALLBACK callback) {
  return set_callback(PROCESSES, process, options, context, callback);
}

HRESULT WINAPI HcsWaitForProcessExit(HCS_PROCESS process, DWORD timeout_ms, PWSTR *result) {
  return wait_for_end(PROCESSES, process, timeout_ms, result);
}

HRESULT WINAPI HcsGetServiceProperties(PCWSTR query, PWSTR *result) {
  return ask(result, "HcsGetServiceProperties", 1, &query);
}

HRESULT WINAPI HcsModifyServiceSettings(PCWSTR settings, PWSTR *result) {
  return ask(result, "HcsModifyServiceSettings", 1, &settings);
}

HRESULT WINAPI HcsSubmitWerReport(PCWSTR settings) {
  return ask(NULL, "HcsSubmitWerReport", 1, &settings);
}

HRESULT WINAPI HcsCreateEmptyGuestStateFile(PCWSTR path) {
  return ask(NULL, "HcsCreateEmptyGuestStateFile", 1, &path);
}

HRESULT WINAPI HcsCreateEmptyRuntimeStateFile(PCWSTR path) {
  return ask(NULL, "HcsCreateEmptyRuntimeStateFile", 1, &path);
}

HRESULT WINAPI HcsGrantVmAccess(PCWSTR vm, PCWSTR path) {
  return ask(NULL, "HcsGrantVmAccess", 2, (PCWSTR[]){vm, path});
}

HRESULT WINAPI HcsRevokeVmAccess(PCWSTR vm, PCWSTR path) {
  return ask(NULL, "HcsRevokeVmAccess", 2, (PCWSTR[]){vm, path});
}

HRESULT WINAPI HcsGrantVmGroupAccess(PCWSTR path) {
  return ask(NULL, "HcsGrantVmGroupAccess", 1, &path);
}

HRESULT WINAPI HcsRevokeVmGroupAccess(PCWSTR path) {
  return ask(NULL, "HcsRevokeVmGroupAccess", 1, &path);
}

HRESULT WINAPI HcsGetProcessorCompatibilityFromSavedState(PCWSTR path, PCWSTR *features) {
  return ask((PWSTR *)features, "HcsGetProcessorCompatibilityFromSavedState", 1, &path);
}
