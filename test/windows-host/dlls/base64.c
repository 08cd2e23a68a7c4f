#include "base64.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_size(PCWSTR text) {
  return text == NULL ? 1 : (wcslen(text) * sizeof(WCHAR) + 2) / 3 * 4;
}

char *base64_of_text(char *to, PCWSTR text) {
  if (text == NULL) {
    *to++ = '-';
    return to;
  }
  const unsigned char *bytes = (const unsigned char *)text;
  size_t size = wcslen(text) * sizeof(WCHAR);
  for (size_t at = 0; at < size; at += 3) {
    unsigned group = bytes[at] << 16;
    if (at + 1 < size) group |= bytes[at + 1] << 8;
    if (at + 2 < size) group |= bytes[at + 2];
    *to++ = digits[group >> 18];
    *to++ = digits[group >> 12 & 63];
    *to++ = at + 1 < size ? digits[group >> 6 & 63] : '=';
    *to++ = at + 2 < size ? digits[group & 63] : '=';
  }
  return to;
}

static int value_of(char digit) {
  const char *found = digit == 0 ? NULL : strchr(digits, digit);
  return found == NULL ? -1 : (int)(found - digits);
}

PWSTR text_of_base64(const char *from) {
  if (strcmp(from, "-") == 0) return NULL;
  size_t length = strlen(from), size = 0;
  unsigned char *bytes = malloc(length / 4 * 3 + sizeof(WCHAR) * 2);
  unsigned bits = 0;
  int have = 0;
  for (size_t at = 0; at < length && value_of(from[at]) >= 0; at++) {
    bits = bits << 6 | (unsigned)value_of(from[at]);
    have += 6;
    if (have >= 8) bytes[size++] = (unsigned char)(bits >> (have -= 8));
  }
  size &= ~(size_t)1;
  memset(bytes + size, 0, sizeof(WCHAR));
  return (PWSTR)bytes;
}
