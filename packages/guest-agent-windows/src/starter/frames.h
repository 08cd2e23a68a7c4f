/* Frames between the agent and a starter: a byte of kind, a length of four bytes, little endian, and the payload. */
#ifndef FRAMES_H
#define FRAMES_H
#define _WIN32_WINNT 0x0A00
#define NTDDI_VERSION 0x0A000006
#include <windows.h>

#define LARGEST_FRAME (1024 * 1024)
#define CHUNK 65536

/* Standard input and output carry frames, and nobody inherits them. */
void open_frames(void);
/* Of any thread. Ends this process when the agent is gone. */
void send_frame(char kind, const void *payload, DWORD length);
void send_number(char kind, DWORD number);
/* The kind of the next frame, whose payload the caller frees; 0 at the end. */
char next_frame(char **payload, DWORD *length);

int list_processes(void);
int serve_pipe(const wchar_t *name);
#endif
