/*
 * Functions of computecore.dll that mingw-w64's computecore.h does not have: live migration and what goes with it
 * (Windows Server 2025). No public header of Microsoft's declares them; these are the prototypes that microsoft/hcsshim
 * calls them with, internal/computecore/computecore.go.
 */
#ifndef COMPUTECORE_NEWER_H
#define COMPUTECORE_NEWER_H

#include <windows.h>
#include <computecore.h>

HRESULT WINAPI HcsInitializeLiveMigrationOnSource (HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);
HRESULT WINAPI HcsStartLiveMigrationOnSource (HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);
HRESULT WINAPI HcsStartLiveMigrationTransfer (HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);
HRESULT WINAPI HcsFinalizeLiveMigration (HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);
HRESULT WINAPI HcsCancelLiveMigration (HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);
HRESULT WINAPI HcsAddResourceToOperation (HCS_OPERATION operation, UINT32 resourceType, PCWSTR uri, HANDLE handle);
HRESULT WINAPI HcsGetOperationProperties (HCS_OPERATION operation, PCWSTR options, PWSTR *resultDocument);
HCS_OPERATION WINAPI HcsCreateOperationWithNotifications (UINT32 eventTypes, const void *context, HCS_EVENT_CALLBACK callback);

#endif
