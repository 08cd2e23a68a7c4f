/* vmcompute.dll of the test host: layers of Windows containers, answered by the relay. */
#include "testhost.h"
#include "vmcompute-layers.h"
#include <objbase.h>
#include <stdlib.h>
#include <wchar.h>

/* Far more than any chain of layers has. */
#define MOST_LAYERS 64

HRESULT WINAPI NameToGuid(PCWSTR name, GUID *guid) {
  if (name == NULL || guid == NULL) return E_INVALIDARG;
  PWSTR document = NULL;
  HRESULT result = host()->call(&document, "NameToGuid", 1, &name);
  if (SUCCEEDED(result)) result = document == NULL ? E_FAIL : CLSIDFromString(document, guid);
  free(document);
  return result;
}

/* The last component of a path. */
static PCWSTR name_of(PCWSTR path) {
  PCWSTR name = path;
  for (PCWSTR at = path; *at != 0; at++)
    if (*at == L'\\' || *at == L'/') name = at + 1;
  return name;
}

/* A descriptor has a path, no flags, and the id that the path's last component gives. */
static HRESULT check(const WC_LAYER_DESCRIPTOR *layer) {
  GUID id;
  if (layer->Path == NULL || layer->Flags != 0) return E_INVALIDARG;
  HRESULT result = NameToGuid(name_of(layer->Path), &id);
  return FAILED(result) ? result : IsEqualGUID(&id, &layer->LayerId) ? S_OK : E_INVALIDARG;
}

HRESULT WINAPI CreateSandboxLayer(const WC_LAYER_DRIVER_INFO *driver, PCWSTR layer, PCWSTR parent,
                                  const WC_LAYER_DESCRIPTOR *layers, ULONG count) {
  PCWSTR texts[MOST_LAYERS + 1] = {layer};
  if (driver == NULL || driver->Flavour != WC_LAYER_DRIVER_FILTER || driver->HomeDir == NULL) return E_INVALIDARG;
  if (layer == NULL || parent != NULL || layers == NULL || count > MOST_LAYERS) return E_INVALIDARG;
  for (ULONG index = 0; index < count; index++) {
    HRESULT result = check(&layers[index]);
    if (FAILED(result)) return result;
    texts[index + 1] = layers[index].Path;
  }
  return host()->call(NULL, "CreateSandboxLayer", (int)count + 1, texts);
}
