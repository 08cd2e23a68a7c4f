#include "workers.h"
#include <windows.h>
#include <stdlib.h>

struct item {
  work_function work;
  void *context;
  struct item *next;
};

struct queue {
  CRITICAL_SECTION lock;
  CONDITION_VARIABLE filled;
  struct item *first, **last;
};

#define WORKERS 4
static struct queue workers, events;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

static DWORD WINAPI __attribute__((noreturn)) drain(void *argument) {
  struct queue *queue = argument;
  for (;;) {
    EnterCriticalSection(&queue->lock);
    while (queue->first == NULL) SleepConditionVariableCS(&queue->filled, &queue->lock, INFINITE);
    struct item *item = queue->first;
    queue->first = item->next;
    if (queue->first == NULL) queue->last = &queue->first;
    LeaveCriticalSection(&queue->lock);
    item->work(item->context);
    free(item);
  }
}

static void serve(struct queue *queue, int threads) {
  InitializeCriticalSection(&queue->lock);
  InitializeConditionVariable(&queue->filled);
  queue->last = &queue->first;
  while (threads-- > 0) CloseHandle(CreateThread(NULL, 0, drain, queue, 0, NULL));
}

static BOOL CALLBACK start(INIT_ONCE *initialised, void *parameter, void **context) {
  (void)initialised, (void)parameter, (void)context;
  serve(&workers, WORKERS);
  serve(&events, 1);
  return TRUE;
}

static struct item *item_of(work_function work, void *context) {
  struct item *item = malloc(sizeof *item);
  *item = (struct item){work, context, NULL};
  return item;
}

static void put(struct queue *queue, work_function work, void *context) {
  InitOnceExecuteOnce(&once, start, NULL, NULL);
  struct item *item = item_of(work, context);
  EnterCriticalSection(&queue->lock);
  *queue->last = item;
  queue->last = &item->next;
  LeaveCriticalSection(&queue->lock);
  WakeConditionVariable(&queue->filled);
}

void run_on_worker(work_function work, void *context) {
  put(&workers, work, context);
}

void run_on_event_thread(work_function work, void *context) {
  put(&events, work, context);
}

static DWORD WINAPI once_only(void *argument) {
  struct item *item = argument;
  item->work(item->context);
  free(item);
  return 0;
}

void run_on_fresh_thread(work_function work, void *context) {
  CloseHandle(CreateThread(NULL, 0, once_only, item_of(work, context), 0, NULL));
}
