/* Threads that callbacks run on: foreign ones to whoever is called back. */
#ifndef WORKERS_H
#define WORKERS_H

typedef void (*work_function)(void *context);

void run_on_worker(work_function work, void *context);
void run_on_event_thread(work_function work, void *context);
void run_on_fresh_thread(work_function work, void *context);

#endif
