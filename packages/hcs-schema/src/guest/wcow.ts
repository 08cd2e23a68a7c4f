/** Requests to a Windows guest in GCS messages. Field names are the wire names of the GCS protocol. */
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
 * The outer request says Add or Remove. `RequestType` says which step: PreAdd announces the NIC and its endpoint
 * before the host adds the NIC, Add completes the step, and Remove undoes both.
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

// A Windows guest refuses unknown fields.
export const checkWindowsNetworkModification: Check<WindowsNetworkModification> =
  closedObject<WindowsNetworkModification>({
    AdapterId: checkGuid,
    RequestType: oneOf("PreAdd", "Add", "Remove"),
    Settings: optional(hcnEndpoint(closedObject)),
  });

export const checkWindowsNetworkNamespace: Check<HcnNamespace> = hcnNamespace(closedObject);

/** The fields of an endpoint that a Windows guest knows. The host's network service may be newer than the guest. */
export const endpointForWindowsGuest: Check<HcnEndpoint> = hcnEndpoint(answerObject);

/** The fields of a namespace that a Windows guest knows. */
export const namespaceForWindowsGuest: Check<HcnNamespace> = hcnNamespace(answerObject);
