/*
 * Layers of Windows containers in vmcompute.dll. No public header of Microsoft's declares them; these are the structures
 * and prototypes that microsoft/hcsshim calls them with, internal/wclayer.
 */
#ifndef VMCOMPUTE_LAYERS_H
#define VMCOMPUTE_LAYERS_H

#include <windows.h>

typedef enum _WC_LAYER_DRIVER { WC_LAYER_DRIVER_DIFF, WC_LAYER_DRIVER_FILTER } WC_LAYER_DRIVER;

typedef struct _WC_LAYER_DRIVER_INFO {
  WC_LAYER_DRIVER Flavour;
  PCWSTR HomeDir;
} WC_LAYER_DRIVER_INFO;

typedef struct _WC_LAYER_DESCRIPTOR {
  GUID LayerId;
  ULONG Flags;
  PCWSTR Path;
} WC_LAYER_DESCRIPTOR;

HRESULT WINAPI NameToGuid (PCWSTR name, GUID *guid);
HRESULT WINAPI CreateSandboxLayer (const WC_LAYER_DRIVER_INFO *driver, PCWSTR layer, PCWSTR parent, const WC_LAYER_DESCRIPTOR *layers, ULONG count);

#endif
