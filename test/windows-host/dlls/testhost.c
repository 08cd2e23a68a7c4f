/* testhost.dll: handles, strings and counts of the test host's DLLs, and its settings. */
#include "testhost.h"
#include "pipes.h"
#include <combaseapi.h>
#include "relay-client.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

static SRWLOCK lock = SRWLOCK_INIT;

/* A handle is the number of its slot, with a generation above so that a closed one is known as such. */
#define SLOT_BITS 20
struct slot {
  void *object;
  enum handle_kind kind;
  DWORD generation;
  DWORD next_free;
};
static struct slot *slots;
static DWORD slot_count, first_free;
static LONG live[HANDLE_KINDS], callbacks, strings, double_frees, misuses;
static char last_misuse[96];

static void misuse(PCSTR what) {
  InterlockedIncrement(&misuses);
  lstrcpynA(last_misuse, what, sizeof last_misuse);
}

static HANDLE handle_of(DWORD index, DWORD generation) {
  return (HANDLE)(((ULONG_PTR)generation << SLOT_BITS | index) << 2);
}

static HANDLE new_handle(enum handle_kind kind, void *object) {
  AcquireSRWLockExclusive(&lock);
  if (first_free == 0) {
    DWORD grown = slot_count == 0 ? 1024 : slot_count * 2;
    slots = realloc(slots, grown * sizeof *slots);
    memset(slots + slot_count, 0, (grown - slot_count) * sizeof *slots);
    /* Slot 0 stays empty, since NULL is no handle. */
    for (DWORD index = grown; index-- > slot_count + (slot_count == 0);) {
      slots[index].next_free = first_free;
      first_free = index;
    }
    slot_count = grown;
  }
  DWORD index = first_free;
  struct slot *slot = &slots[index];
  first_free = slot->next_free;
  slot->object = object;
  slot->kind = kind;
  slot->generation++;
  HANDLE handle = handle_of(index, slot->generation);
  ReleaseSRWLockExclusive(&lock);
  InterlockedIncrement(&live[kind]);
  return handle;
}

static struct slot *slot_of(enum handle_kind kind, HANDLE handle) {
  ULONG_PTR value = (ULONG_PTR)handle >> 2;
  DWORD index = value & ((1 << SLOT_BITS) - 1);
  if (((ULONG_PTR)handle & 3) != 0 || index == 0 || index >= slot_count) return NULL;
  struct slot *slot = &slots[index];
  return slot->object != NULL && slot->kind == kind && slot->generation == value >> SLOT_BITS ? slot : NULL;
}

static void *object_if_open(enum handle_kind kind, HANDLE handle) {
  AcquireSRWLockShared(&lock);
  struct slot *slot = slot_of(kind, handle);
  void *object = slot == NULL ? NULL : slot->object;
  ReleaseSRWLockShared(&lock);
  return object;
}

static void *object_of(enum handle_kind kind, HANDLE handle) {
  void *object = object_if_open(kind, handle);
  if (object == NULL) misuse("a handle that is not open was used");
  return object;
}

static void *close_handle(enum handle_kind kind, HANDLE handle) {
  AcquireSRWLockExclusive(&lock);
  struct slot *slot = slot_of(kind, handle);
  void *object = slot == NULL ? NULL : slot->object;
  if (object != NULL) {
    slot->object = NULL;
    slot->next_free = first_free;
    first_free = (DWORD)(slot - slots);
    InterlockedDecrement(&live[kind]);
  }
  ReleaseSRWLockExclusive(&lock);
  if (object == NULL) misuse("a handle that is not open was closed");
  return object;
}

static void each_handle(enum handle_kind kind, handle_visitor visit, void *context) {
  for (DWORD index = 1; index < slot_count; index++) {
    AcquireSRWLockShared(&lock);
    struct slot slot = slots[index];
    ReleaseSRWLockShared(&lock);
    if (slot.object != NULL && slot.kind == kind) visit(handle_of(index, slot.generation), context);
  }
}

/* Live strings by address, and the latest that were freed: their memory is kept, so that a second free is known. */
struct string {
  void *address;
  enum allocator allocator;
  struct string *next;
};
#define BUCKETS 1024
#define KEPT 256
static struct string *buckets[BUCKETS];
static struct string kept[KEPT];
static DWORD next_kept;

static struct string **bucket_of(void *address) {
  return &buckets[((ULONG_PTR)address >> 4) % BUCKETS];
}

static PWSTR result_string(PCWSTR text, enum allocator allocator) {
  SIZE_T size = (wcslen(text) + 1) * sizeof(WCHAR);
  PWSTR copy = allocator == LOCAL ? LocalAlloc(LMEM_FIXED, size) : CoTaskMemAlloc(size);
  memcpy(copy, text, size);
  struct string *string = malloc(sizeof *string);
  AcquireSRWLockExclusive(&lock);
  struct string **bucket = bucket_of(copy);
  *string = (struct string){copy, allocator, *bucket};
  *bucket = string;
  ReleaseSRWLockExclusive(&lock);
  InterlockedIncrement(&strings);
  return copy;
}

/* Out of the live ones, and into those that are kept. With the lock held; the string to release, if any. */
static BOOL keep(void *address, enum allocator allocator, struct string *released) {
  struct string **link = bucket_of(address);
  while (*link != NULL && (*link)->address != address) link = &(*link)->next;
  struct string *found = *link;
  if (found == NULL) return FALSE;
  if (found->allocator != allocator) misuse("a string was freed in the way of another kind");
  *link = found->next;
  *released = kept[next_kept % KEPT];
  kept[next_kept++ % KEPT] = *found;
  free(found);
  InterlockedDecrement(&strings);
  return TRUE;
}

static BOOL free_string(void *address, enum allocator allocator) {
  struct string released = {NULL, LOCAL, NULL};
  if (address == NULL) return FALSE;
  AcquireSRWLockExclusive(&lock);
  BOOL ours = keep(address, allocator, &released);
  for (DWORD index = 0; !ours && index < KEPT; index++)
    if (kept[index].address == address) {
      InterlockedIncrement(&double_frees);
      ours = TRUE;
    }
  ReleaseSRWLockExclusive(&lock);
  if (released.allocator == LOCAL) LocalFree(released.address);
  else CoTaskMemFree(released.address);
  return ours;
}

struct tracked {
  HANDLE handle;
  ULONG64 value;
  struct tracked *next;
};
static struct tracked *all_tracked[TRACKED_KINDS];

/* With the lock held: the link to the handle's entry, or to where the last one ends. */
static struct tracked **find_tracked(enum tracked_kind kind, HANDLE handle) {
  struct tracked **link = &all_tracked[kind];
  while (*link != NULL && (*link)->handle != handle) link = &(*link)->next;
  return link;
}

static void track(enum tracked_kind kind, HANDLE handle, ULONG64 value) {
  AcquireSRWLockExclusive(&lock);
  struct tracked *entry = *find_tracked(kind, handle);
  if (entry != NULL) entry->value = value;
  else {
    entry = malloc(sizeof *entry);
    *entry = (struct tracked){handle, value, all_tracked[kind]};
    all_tracked[kind] = entry;
  }
  ReleaseSRWLockExclusive(&lock);
}

static ULONG64 tracked(enum tracked_kind kind, HANDLE handle) {
  AcquireSRWLockShared(&lock);
  struct tracked *entry = *find_tracked(kind, handle);
  ULONG64 value = entry == NULL ? 0 : entry->value;
  ReleaseSRWLockShared(&lock);
  return value;
}

static ULONG64 untrack(enum tracked_kind kind, HANDLE handle) {
  AcquireSRWLockExclusive(&lock);
  struct tracked **link = find_tracked(kind, handle), *entry = *link;
  ULONG64 value = entry == NULL ? 0 : entry->value;
  if (entry != NULL) *link = entry->next;
  ReleaseSRWLockExclusive(&lock);
  free(entry);
  return value;
}

static LONG count_tracked(enum tracked_kind kind) {
  LONG count = 0;
  AcquireSRWLockShared(&lock);
  for (struct tracked *entry = all_tracked[kind]; entry != NULL; entry = entry->next) count++;
  ReleaseSRWLockShared(&lock);
  return count;
}

static void count_callbacks(int change) {
  InterlockedExchangeAdd(&callbacks, change);
}

static LONG mode;
static LONG calls_to_go;

static enum callback_mode callback_mode(void) {
  return (enum callback_mode)mode;
}

static BOOL out_of_memory(void) {
  return calls_to_go > 0 && InterlockedDecrement(&calls_to_go) == 0;
}

static HRESULT call(PWSTR *document, PCSTR function, int count, const PCWSTR *arguments) {
  return out_of_memory() ? E_OUTOFMEMORY : relay_call(document, function, count, arguments);
}

static HRESULT give_back(PCSTR function, PCWSTR argument) {
  return relay_call(NULL, function, 1, &argument);
}

static HRESULT send_call(answer_handler handler, void *context, PCSTR function, int count, const PCWSTR *arguments) {
  return out_of_memory() ? E_OUTOFMEMORY : relay_send(handler, context, function, count, arguments);
}

static void post(void (*work)(void *), void *context) {
  if (mode == ON_FRESH_THREAD) run_on_fresh_thread(work, context);
  else run_on_worker(work, context);
}

const struct test_host *test_host_functions(void) {
  static const struct test_host functions = {
      .call = call,
      .send = send_call,
      .listen = relay_listen,
      .post = post,
      .post_event = run_on_event_thread,
      .callback_mode = callback_mode,
      .give_back = give_back,
      .out_of_memory = out_of_memory,
      .new_handle = new_handle,
      .object_of = object_of,
      .close_handle = close_handle,
      .object_if_open = object_if_open,
      .each_handle = each_handle,
      .result_string = result_string,
      .free_string = free_string,
      .track = track,
      .tracked = tracked,
      .untrack = untrack,
      .count_callbacks = count_callbacks,
      .misuse = misuse,
  };
  relay_listen(pipe_asked_for);
  return &functions;
}

/* The relay reads the settings, and answers with the numbers that count here. */
__declspec(dllexport) HRESULT WINAPI UvmShimTestHostConfigure(PCWSTR settings) {
  PWSTR document = NULL;
  mode = calls_to_go = 0;
  HRESULT result = relay_call(&document, "configure", 1, &settings);
  int new_mode, new_calls, sleep;
  char function[64] = "";
  if (SUCCEEDED(result) && document != NULL &&
      swscanf(document, L"%d %d %d %63hs", &new_mode, &new_calls, &sleep, function) >= 3) {
    relay_sleep_in(function, (DWORD)sleep);
    mode = new_mode;
    calls_to_go = new_calls;
  }
  free(document);
  return result;
}

__declspec(dllexport) HRESULT WINAPI UvmShimTestHostCounts(PWSTR *document) {
  WCHAR text[768];
  swprintf(text, sizeof text / sizeof *text,
           L"{\"operations\":%ld,\"systems\":%ld,\"processes\":%ld,\"networks\":%ld,\"endpoints\":%ld,"
           L"\"namespaces\":%ld,\"loadBalancers\":%ld,\"guestNetworkServices\":%ld,\"serviceCallbacks\":%ld,"
           L"\"strings\":%ld,\"callbacks\":%ld,\"virtualDisks\":%ld,\"standardStreams\":%ld,\"vmmemHandles\":%ld,"
           L"\"sockets\":%ld,\"addressEntries\":%ld,\"doubleFrees\":%ld,\"misuses\":%ld,\"lastMisuse\":\"%hs\"}",
           live[OPERATIONS], live[SYSTEMS], live[PROCESSES], live[NETWORKS], live[ENDPOINTS], live[NAMESPACES],
           live[LOAD_BALANCERS], live[GUEST_NETWORK_SERVICES], live[SERVICE_CALLBACKS], strings, callbacks,
           count_tracked(VIRTUAL_DISKS), count_tracked(STANDARD_STREAMS), count_tracked(VMMEM_HANDLES),
           count_tracked(SOCKETS), count_tracked(ADDRESS_ENTRIES), double_frees, misuses, last_misuse);
  *document = result_string(text, LOCAL);
  return S_OK;
}
