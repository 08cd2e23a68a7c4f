#ifndef PIPES_H
#define PIPES_H

#include <windows.h>

/* Hears of the relay's events; one asks for a pipe, with `<port> <path>`. */
void pipe_asked_for(ULONG64 object, DWORD type, PCWSTR data);

#endif
