/** The calls of the emulated host's protocol that are about networks; emulated-host.ts has the others. */
import { anything, type Check, closedObject, filledText, oneOf, optional } from "./check.ts";
import { checkGuid } from "./document/checks.ts";
import type { HcnModifyNamespaceRequest, HcnObjectKind } from "./hcn/hcn.ts";
import { checkHcnModifyNamespaceRequest } from "./hcn/hcn-checks.ts";

export interface EmulatedNetworkCalls {
  /** An endpoint is made in a network, which is told beside its settings. */
  readonly createNetworkObject: {
    readonly kind: HcnObjectKind;
    readonly network?: string;
    readonly settings: unknown;
  };
  readonly queryNetworkObject: { readonly kind: HcnObjectKind; readonly object: string };
  readonly deleteNetworkObject: { readonly kind: HcnObjectKind; readonly object: string };
  readonly modifyNamespace: { readonly namespace: string; readonly request: HcnModifyNamespaceRequest };
  /** What only this host has: a network namespace of the machine as one of HCN, for a system that has not started. */
  readonly joinNetworkNamespace: { readonly system: string; readonly path: string };
}

/** What the object is: an HcnNetwork, HcnEndpoint or HcnNamespace, for the caller to check as that. */
interface Properties {
  readonly properties: unknown;
}

export interface EmulatedNetworkResults {
  readonly createNetworkObject: Properties;
  readonly queryNetworkObject: Properties;
  readonly deleteNetworkObject: object;
  readonly modifyNamespace: object;
  readonly joinNetworkNamespace: { readonly namespace: string };
}

const kind = oneOf("network", "endpoint", "namespace");
const byObject = closedObject<EmulatedNetworkCalls["queryNetworkObject"]>({ kind, object: filledText });
const properties = closedObject<Properties>({ properties: anything });
const nothing: Check<object> = closedObject<Record<never, never>>({});

export const networkCallChecks: {
  readonly [Name in keyof EmulatedNetworkCalls]: Check<EmulatedNetworkCalls[Name]>;
} = {
  createNetworkObject: closedObject<EmulatedNetworkCalls["createNetworkObject"]>({
    kind,
    network: optional(filledText),
    settings: anything,
  }),
  queryNetworkObject: byObject,
  deleteNetworkObject: byObject,
  modifyNamespace: closedObject<EmulatedNetworkCalls["modifyNamespace"]>({
    namespace: filledText,
    request: checkHcnModifyNamespaceRequest,
  }),
  joinNetworkNamespace: closedObject<EmulatedNetworkCalls["joinNetworkNamespace"]>({
    system: filledText,
    path: filledText,
  }),
};

export const networkResultChecks: {
  readonly [Name in keyof EmulatedNetworkResults]: Check<EmulatedNetworkResults[Name]>;
} = {
  createNetworkObject: properties,
  queryNetworkObject: properties,
  deleteNetworkObject: nothing,
  modifyNamespace: nothing,
  joinNetworkNamespace: closedObject<EmulatedNetworkResults["joinNetworkNamespace"]>({ namespace: checkGuid }),
};
