/** Calls of the emulated host that concern networks. The others are in calls.ts. */
import {
  anything,
  type Check,
  checkGuid,
  checkHcnModifyNamespaceRequest,
  closedObject,
  filledText,
  type HcnModifyNamespaceRequest,
  type HcnObjectKind,
  oneOf,
  optional,
} from "@uvm-shim/hcs-schema";

/** The arguments of each call for networks, endpoints and namespaces. */
export interface EmulatedNetworkCalls {
  /** `network` is that of an endpoint, whose settings do not name it. */
  readonly createNetworkObject: {
    readonly kind: HcnObjectKind;
    readonly network?: string;
    readonly settings: unknown;
  };
  readonly queryNetworkObject: { readonly kind: HcnObjectKind; readonly object: string };
  readonly deleteNetworkObject: { readonly kind: HcnObjectKind; readonly object: string };
  readonly modifyNamespace: { readonly namespace: string; readonly request: HcnModifyNamespaceRequest };
  /**
   * Windows has no such call. Makes an HCN namespace of a network namespace of this machine, for a system that has not
   * started.
   */
  readonly joinNetworkNamespace: { readonly system: string; readonly path: string };
}

/** An HcnNetwork, HcnEndpoint or HcnNamespace, which the caller checks. */
interface Properties {
  readonly properties: unknown;
}

/** The result of each of these calls. */
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

/** The check of each call's arguments. */
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

/** The check of each call's result. */
export const networkResultChecks: {
  readonly [Name in keyof EmulatedNetworkResults]: Check<EmulatedNetworkResults[Name]>;
} = {
  createNetworkObject: properties,
  queryNetworkObject: properties,
  deleteNetworkObject: nothing,
  modifyNamespace: nothing,
  joinNetworkNamespace: closedObject<EmulatedNetworkResults["joinNetworkNamespace"]>({ namespace: checkGuid }),
};
