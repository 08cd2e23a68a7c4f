/** Requests that cross to a Windows guest in GCS messages; wire names of the GCS protocol. */
import { answerObject, type Check, closedObject, oneOf, optional } from "../check.ts";
import { checkGuid } from "../document/checks.ts";
import type { HcnEndpoint, HcnNamespace } from "../hcn/hcn.ts";
import { hcnEndpoint, hcnNamespace } from "../hcn/hcn-checks.ts";

/** Settings of a Windows guest's modify request, by resource type. */
export interface WindowsGuestResources {
  readonly NetworkNamespace: HcnNamespace;
  readonly Network: WindowsNetworkModification;
}

/**
 * The request around it says Add or Remove. Inside stands the step: PreAdd announces the NIC with its endpoint before
 * the host adds it, Add completes it, Remove takes both back.
 */
export interface WindowsNetworkModification {
  /** GUID of the NIC. */
  readonly AdapterId: string;
  readonly RequestType: "PreAdd" | "Add" | "Remove";
  readonly Settings?: HcnEndpoint;
}

export type WindowsGuestRequest = {
  readonly [Type in keyof WindowsGuestResources]: {
    readonly ResourceType: Type;
    readonly RequestType: "Add" | "Remove";
    readonly Settings: WindowsGuestResources[Type];
  };
}[keyof WindowsGuestResources];

// A Windows guest refuses fields that it does not know.
export const checkWindowsNetworkModification: Check<WindowsNetworkModification> =
  closedObject<WindowsNetworkModification>({
    AdapterId: checkGuid,
    RequestType: oneOf("PreAdd", "Add", "Remove"),
    Settings: optional(hcnEndpoint(closedObject)),
  });

export const checkWindowsNetworkNamespace: Check<HcnNamespace> = hcnNamespace(closedObject);

/** Of an endpoint, what a Windows guest knows; the network service of a host may be newer than the guest's. */
export const endpointForWindowsGuest: Check<HcnEndpoint> = hcnEndpoint(answerObject);

/** Of a namespace, what a Windows guest knows. */
export const namespaceForWindowsGuest: Check<HcnNamespace> = hcnNamespace(answerObject);
