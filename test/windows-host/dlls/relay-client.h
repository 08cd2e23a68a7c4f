/*
 * The connection to the host relay, whose port stands in test-host.port beside the DLL. A line is one call:
 * `<id>\t<function>\t<argument>...`, answered in any order by `<id>\t<result>\t<document>`; an event is
 * `event\t<object>\t<type>\t<data>`. Texts are base64 of UTF-16, an absent one is `-`.
 */
#ifndef RELAY_CLIENT_H
#define RELAY_CLIENT_H

#include "testhost.h"

HRESULT relay_call(PWSTR *document, PCSTR function, int count, const PCWSTR *arguments);
HRESULT relay_send(answer_handler handler, void *context, PCSTR function, int count, const PCWSTR *arguments);
void relay_listen(event_handler handler);
/* Calls of this function sleep before they are sent; of none where it is empty. */
void relay_sleep_in(PCSTR function, DWORD milliseconds);

#endif
