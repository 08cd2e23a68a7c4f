/* A computecore.dll that ends the process which uses it, with words on standard error, as a fault of native code does. */
#include <windows.h>

#include <computecore.h>
#include <stdio.h>
#include <stdlib.h>

HCS_OPERATION WINAPI HcsCreateOperation(const void *context, HCS_OPERATION_COMPLETION callback) {
  (void)context, (void)callback;
  fputs("computecore: the heap is damaged\n", stderr);
  fflush(stderr);
  abort();
}
