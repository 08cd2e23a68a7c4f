/* Texts as base64 of UTF-16, which keeps whatever a text may hold. An absent text is `-`. */
#ifndef BASE64_H
#define BASE64_H

#include <windows.h>

size_t base64_size(PCWSTR text);
/* Writes without an end, and returns where it ends. */
char *base64_of_text(char *to, PCWSTR text);
/* From malloc; NULL for an absent text. */
PWSTR text_of_base64(const char *from);

#endif
