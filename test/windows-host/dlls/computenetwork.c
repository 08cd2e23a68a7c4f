/* computenetwork.dll of the test host: the functions of computenetwork.h, answered by the emulated host. */
#include "testhost.h"
#include <computenetwork.h>
#include <objbase.h>
#include <stdlib.h>
#include <wchar.h>

/* What an open handle stands for, by its GUID. */
struct object {
  WCHAR id[40];
};

static void text_of_guid(WCHAR text[40], REFGUID guid) {
  StringFromGUID2(guid, text, 40);
  /* Without braces. */
  wmemmove(text, text + 1, 36);
  text[36] = 0;
}

static void give(PWSTR *to, PCWSTR text) {
  if (to != NULL) *to = text == NULL ? NULL : host()->result_string(text, CO_TASK);
}

/* Asks the relay; the document is the properties of what succeeded, or the error record of what failed. */
static HRESULT ask(PCSTR function, PWSTR *properties, PWSTR *error, int count, const PCWSTR *arguments) {
  PWSTR document = NULL;
  HRESULT result = host()->call(&document, function, count, arguments);
  give(properties, SUCCEEDED(result) ? document : NULL);
  give(error, FAILED(result) ? document : NULL);
  free(document);
  return result;
}

static HRESULT open_object(PCSTR function, enum handle_kind kind, REFGUID id, PCWSTR settings, PCWSTR parent,
                           void **handle, PWSTR *error) {
  struct object *object = malloc(sizeof *object);
  text_of_guid(object->id, id);
  *handle = NULL;
  HRESULT result = ask(function, NULL, error, 3, (PCWSTR[]){object->id, settings, parent});
  if (SUCCEEDED(result)) *handle = host()->new_handle(kind, object);
  else free(object);
  return result;
}

static HRESULT ask_object(PCSTR function, enum handle_kind kind, void *handle, PCWSTR document, PWSTR *properties,
                          PWSTR *error) {
  struct object *object = host()->object_of(kind, handle);
  if (properties != NULL) *properties = NULL;
  if (error != NULL) *error = NULL;
  return object == NULL ? E_HANDLE : ask(function, properties, error, 2, (PCWSTR[]){object->id, document});
}

static HRESULT delete_object(PCSTR function, REFGUID guid, PWSTR *error) {
  WCHAR id[40];
  text_of_guid(id, guid);
  return ask(function, NULL, error, 1, (PCWSTR[]){id});
}

static HRESULT close_object(enum handle_kind kind, void *handle) {
  struct object *object = host()->close_handle(kind, handle);
  free(object);
  return object == NULL ? E_HANDLE : S_OK;
}

/* What all kinds of objects have: the functions of computenetwork.h, whose names differ by the kind only. */
#define OBJECT_FUNCTIONS(Kind, Kinds, HANDLE_TYPE, KIND)                                                              \
  HRESULT WINAPI HcnEnumerate##Kinds(PCWSTR query, PWSTR *found, PWSTR *error) {                                      \
    return ask("HcnEnumerate" #Kinds, found, error, 1, &query);                                                       \
  }                                                                                                                   \
  HRESULT WINAPI HcnOpen##Kind(REFGUID id, HANDLE_TYPE *handle, PWSTR *error) {                                       \
    return open_object("HcnOpen" #Kind, KIND, id, NULL, NULL, handle, error);                                         \
  }                                                                                                                   \
  HRESULT WINAPI HcnModify##Kind(HANDLE_TYPE handle, PCWSTR settings, PWSTR *error) {                                 \
    return ask_object("HcnModify" #Kind, KIND, handle, settings, NULL, error);                                        \
  }                                                                                                                   \
  HRESULT WINAPI HcnQuery##Kind##Properties(HANDLE_TYPE handle, PCWSTR query, PWSTR *properties, PWSTR *error) {      \
    return ask_object("HcnQuery" #Kind "Properties", KIND, handle, query, properties, error);                         \
  }                                                                                                                   \
  HRESULT WINAPI HcnDelete##Kind(REFGUID id, PWSTR *error) {                                                          \
    return delete_object("HcnDelete" #Kind, id, error);                                                               \
  }                                                                                                                   \
  HRESULT WINAPI HcnClose##Kind(HANDLE_TYPE handle) {                                                                 \
    return close_object(KIND, handle);                                                                                \
  }

#define CREATE_FUNCTION(Kind, HANDLE_TYPE, KIND)                                                                      \
  HRESULT WINAPI HcnCreate##Kind(REFGUID id, PCWSTR settings, HANDLE_TYPE *handle, PWSTR *error) {                    \
    return open_object("HcnCreate" #Kind, KIND, id, settings, NULL, handle, error);                                   \
  }

OBJECT_FUNCTIONS(Network, Networks, HCN_NETWORK, NETWORKS)
CREATE_FUNCTION(Network, HCN_NETWORK, NETWORKS)
OBJECT_FUNCTIONS(Namespace, Namespaces, HCN_NAMESPACE, NAMESPACES)
CREATE_FUNCTION(Namespace, HCN_NAMESPACE, NAMESPACES)
OBJECT_FUNCTIONS(Endpoint, Endpoints, HCN_ENDPOINT, ENDPOINTS)
OBJECT_FUNCTIONS(LoadBalancer, LoadBalancers, HCN_LOADBALANCER, LOAD_BALANCERS)
CREATE_FUNCTION(LoadBalancer, HCN_LOADBALANCER, LOAD_BALANCERS)

HRESULT WINAPI HcnCreateEndpoint(HCN_NETWORK network, REFGUID id, PCWSTR settings, PHCN_ENDPOINT endpoint,
                                 PWSTR *error) {
  struct object *parent = host()->object_of(NETWORKS, network);
  if (parent == NULL) return E_HANDLE;
  return open_object("HcnCreateEndpoint", ENDPOINTS, id, settings, parent->id, endpoint, error);
}

struct service_callback {
  HCN_NOTIFICATION_CALLBACK callback;
  void *context;
  int running;
};

static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE returned = CONDITION_VARIABLE_INIT;

struct notification {
  HANDLE handle;
  DWORD type;
  PWSTR data;
};

static void deliver(void *context) {
  struct notification *told = context;
  AcquireSRWLockExclusive(&lock);
  struct service_callback *registered = host()->object_if_open(SERVICE_CALLBACKS, told->handle);
  if (registered != NULL) registered->running++;
  ReleaseSRWLockExclusive(&lock);
  if (registered != NULL) {
    host()->count_callbacks(1);
    registered->callback(told->type, registered->context, S_OK, told->data);
    host()->count_callbacks(-1);
    AcquireSRWLockExclusive(&lock);
    registered->running--;
    ReleaseSRWLockExclusive(&lock);
    WakeAllConditionVariable(&returned);
  }
  free(told->data);
  free(told);
}

static void tell(HANDLE handle, void *context) {
  struct notification *told = malloc(sizeof *told);
  *told = *(struct notification *)context;
  told->handle = handle;
  told->data = _wcsdup(told->data);
  host()->post_event(deliver, told);
}

/* Of the relay's events, those of the compute service come with the number of an object, or with this type. */
#define SERVICE_DISCONNECT 0x02000000
#define NETWORK_EVENT 0x70000002

static void heard(ULONG64 object, DWORD type, PCWSTR data) {
  if (object != 0) return;
  struct notification told = {NULL, HcnNotificationServiceDisconnect, (PWSTR)data};
  if (type == NETWORK_EVENT) told.type = wcstoul(data, &told.data, 10);
  else if (type != SERVICE_DISCONNECT) return;
  host()->each_handle(SERVICE_CALLBACKS, tell, &told);
}

HRESULT WINAPI HcnRegisterServiceCallback(HCN_NOTIFICATION_CALLBACK callback, void *context, HCN_CALLBACK *handle) {
  if (handle == NULL || callback == NULL) return E_POINTER;
  *handle = NULL;
  if (host()->out_of_memory()) return E_OUTOFMEMORY;
  host()->listen(heard);
  HRESULT result = host()->call(NULL, "HcnRegisterServiceCallback", 0, NULL);
  if (FAILED(result)) return result;
  struct service_callback *registered = calloc(1, sizeof *registered);
  registered->callback = callback;
  registered->context = context;
  *handle = host()->new_handle(SERVICE_CALLBACKS, registered);
  return S_OK;
}

HRESULT WINAPI HcnUnregisterServiceCallback(HCN_CALLBACK handle) {
  AcquireSRWLockExclusive(&lock);
  struct service_callback *registered = host()->close_handle(SERVICE_CALLBACKS, handle);
  while (registered != NULL && registered->running > 0) SleepConditionVariableSRW(&returned, &lock, INFINITE, 0);
  ReleaseSRWLockExclusive(&lock);
  free(registered);
  return registered == NULL ? E_HANDLE : S_OK;
}
