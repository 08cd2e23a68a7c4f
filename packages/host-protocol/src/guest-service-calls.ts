/** Calls of the emulated host that concern Windows guests and their containers. The others are in calls.ts. */
import {
  type Check,
  type CredentialGuardInstance,
  checkCredentialGuardInstance,
  checkGuid,
  checkHostTimeZone,
  closedObject,
  filledText,
  integer,
  list,
  type TimeZoneInformation,
  text,
} from "@uvm-shim/hcs-schema";

/** The arguments of each call for what a host does for Windows guests. */
export interface EmulatedGuestServiceCalls {
  readonly addCredentialGuard: { readonly container: string; readonly specification: string };
  readonly credentialGuards: object;
  readonly removeCredentialGuard: { readonly container: string };
  /** Both are GUIDs: of a container, and of the VM that it is in. */
  readonly redirectHvsockets: { readonly system: string; readonly vm: string };
  readonly closeRedirection: { readonly handle: number };
  readonly layerId: { readonly name: string };
  /** `parents` begin with the topmost. */
  readonly createScratchLayer: { readonly path: string; readonly parents: readonly string[] };
  readonly setDiskIdentifier: { readonly path: string; readonly identifier: string };
  readonly grantVmGroupAccess: { readonly path: string };
  readonly timeZone: object;
}

/** The result of each of these calls. */
export interface EmulatedGuestServiceResults {
  readonly addCredentialGuard: CredentialGuardInstance;
  readonly credentialGuards: { readonly instances: readonly CredentialGuardInstance[] };
  readonly removeCredentialGuard: object;
  readonly redirectHvsockets: { readonly handle: number };
  readonly closeRedirection: object;
  readonly layerId: { readonly id: string };
  readonly createScratchLayer: object;
  readonly setDiskIdentifier: object;
  readonly grantVmGroupAccess: object;
  readonly timeZone: TimeZoneInformation;
}

const handle = closedObject<{ readonly handle: number }>({ handle: integer(0) });
const nothing: Check<object> = closedObject<Record<never, never>>({});
const byContainer = closedObject<EmulatedGuestServiceCalls["removeCredentialGuard"]>({ container: filledText });

/** The check of each call's arguments. */
export const guestServiceCallChecks: {
  readonly [Name in keyof EmulatedGuestServiceCalls]: Check<EmulatedGuestServiceCalls[Name]>;
} = {
  addCredentialGuard: closedObject<EmulatedGuestServiceCalls["addCredentialGuard"]>({
    container: filledText,
    specification: text,
  }),
  credentialGuards: nothing,
  removeCredentialGuard: byContainer,
  redirectHvsockets: closedObject<EmulatedGuestServiceCalls["redirectHvsockets"]>({ system: text, vm: text }),
  closeRedirection: handle,
  layerId: closedObject<EmulatedGuestServiceCalls["layerId"]>({ name: filledText }),
  createScratchLayer: closedObject<EmulatedGuestServiceCalls["createScratchLayer"]>({
    path: filledText,
    parents: list(filledText),
  }),
  setDiskIdentifier: closedObject<EmulatedGuestServiceCalls["setDiskIdentifier"]>({
    path: filledText,
    identifier: text,
  }),
  grantVmGroupAccess: closedObject<EmulatedGuestServiceCalls["grantVmGroupAccess"]>({ path: filledText }),
  timeZone: nothing,
};

/** The check of each call's result. */
export const guestServiceResultChecks: {
  readonly [Name in keyof EmulatedGuestServiceResults]: Check<EmulatedGuestServiceResults[Name]>;
} = {
  addCredentialGuard: checkCredentialGuardInstance,
  credentialGuards: closedObject<EmulatedGuestServiceResults["credentialGuards"]>({
    instances: list(checkCredentialGuardInstance),
  }),
  removeCredentialGuard: nothing,
  redirectHvsockets: handle,
  closeRedirection: nothing,
  layerId: closedObject<EmulatedGuestServiceResults["layerId"]>({ id: checkGuid }),
  createScratchLayer: nothing,
  setDiskIdentifier: nothing,
  grantVmGroupAccess: nothing,
  timeZone: checkHostTimeZone,
};
