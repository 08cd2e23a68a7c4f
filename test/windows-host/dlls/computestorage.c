/* computestorage.dll of the test host: the functions of computestorage.h, answered by the relay. */
#include "testhost.h"
#include <computestorage.h>
#include <stdlib.h>

static HRESULT ask(PCSTR function, int count, const PCWSTR *arguments) {
  return host()->call(NULL, function, count, arguments);
}

/* Asks about the file of an open virtual disk. */
static HRESULT ask_disk(PCSTR function, HANDLE disk, PWSTR *answer) {
  WCHAR path[MAX_PATH];
  DWORD length = GetFinalPathNameByHandleW(disk, path, MAX_PATH, VOLUME_NAME_DOS);
  if (length == 0 || length >= MAX_PATH) return E_HANDLE;
  PWSTR document = NULL;
  HRESULT result = host()->call(&document, function, 1, (PCWSTR[]){path});
  if (answer != NULL) *answer = SUCCEEDED(result) && document != NULL ? host()->result_string(document, LOCAL) : NULL;
  free(document);
  return result;
}

HRESULT WINAPI HcsImportLayer(PCWSTR layer, PCWSTR source, PCWSTR data) {
  return ask("HcsImportLayer", 3, (PCWSTR[]){layer, source, data});
}

HRESULT WINAPI HcsExportLayer(PCWSTR layer, PCWSTR folder, PCWSTR data, PCWSTR options) {
  return ask("HcsExportLayer", 4, (PCWSTR[]){layer, folder, data, options});
}

HRESULT WINAPI HcsExportLegacyWritableLayer(PCWSTR mount, PCWSTR writable, PCWSTR folder, PCWSTR data) {
  return ask("HcsExportLegacyWritableLayer", 4, (PCWSTR[]){mount, writable, folder, data});
}

HRESULT WINAPI HcsDestroyLayer(PCWSTR layer) {
  return ask("HcsDestroyLayer", 1, &layer);
}

HRESULT WINAPI HcsSetupBaseOSLayer(PCWSTR layer, HANDLE disk, PCWSTR options) {
  (void)disk;
  return ask("HcsSetupBaseOSLayer", 2, (PCWSTR[]){layer, options});
}

HRESULT WINAPI HcsInitializeWritableLayer(PCWSTR layer, PCWSTR data, PCWSTR options) {
  return ask("HcsInitializeWritableLayer", 3, (PCWSTR[]){layer, data, options});
}

HRESULT WINAPI HcsInitializeLegacyWritableLayer(PCWSTR mount, PCWSTR folder, PCWSTR data, PCWSTR options) {
  return ask("HcsInitializeLegacyWritableLayer", 4, (PCWSTR[]){mount, folder, data, options});
}

HRESULT WINAPI HcsAttachLayerStorageFilter(PCWSTR layer, PCWSTR data) {
  return ask("HcsAttachLayerStorageFilter", 2, (PCWSTR[]){layer, data});
}

HRESULT WINAPI HcsDetachLayerStorageFilter(PCWSTR layer) {
  return ask("HcsDetachLayerStorageFilter", 1, &layer);
}

HRESULT WINAPI HcsFormatWritableLayerVhd(HANDLE disk) {
  return ask_disk("HcsFormatWritableLayerVhd", disk, NULL);
}

HRESULT WINAPI HcsGetLayerVhdMountPath(HANDLE disk, PWSTR *path) {
  return ask_disk("HcsGetLayerVhdMountPath", disk, path);
}

HRESULT WINAPI HcsSetupBaseOSVolume(PCWSTR layer, PCWSTR volume, PCWSTR options) {
  return ask("HcsSetupBaseOSVolume", 3, (PCWSTR[]){layer, volume, options});
}
