/** What the network controller needs of the host and of guests of each flavour. */
import type { HcnEndpoint, HcnNamespace, LinuxNetworkAdapter, NetworkAdapter } from "@uvm-shim/hcs-schema";
import type { Step } from "@uvm-shim/lifecycle";

/** Read access to the host's networks. */
export interface NetworkQueries {
  queryNamespace(id: string, signal?: AbortSignal): Promise<HcnNamespace>;
  queryEndpoint(id: string, signal?: AbortSignal): Promise<HcnEndpoint>;
}

/** The host's side of the VM's NICs. */
export interface NicHost {
  addNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
  removeNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
}

/**
 * What the network controller needs of a Linux guest. All calls reject with an error whose `code` is one of lifecycle's
 * `errorCodes`.
 */
export interface LinuxNetworkGuest {
  /** Whether it accepts requests for network interfaces. A guest that does not sets up by itself what the host adds. */
  readonly supportsNetworkNamespaces: boolean;
  addNetworkInterface(adapter: LinuxNetworkAdapter, signal?: AbortSignal): Promise<void>;
  removeNetworkInterface(adapter: Pick<LinuxNetworkAdapter, "NamespaceID" | "ID">, signal?: AbortSignal): Promise<void>;
}

/**
 * What the network controller needs of a Windows guest. All calls reject with an error whose `code` is one of
 * lifecycle's `errorCodes`.
 */
export interface WindowsNetworkGuest {
  /** Whether it accepts requests for network namespaces. */
  readonly supportsNetworkNamespaces: boolean;
  addNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void>;
  removeNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void>;
  /** Announces a NIC before the host adds it. */
  preAddNetworkInterface(nicId: string, endpoint: HcnEndpoint, signal?: AbortSignal): Promise<void>;
  /** Completes an announced NIC after the host has added it. */
  addNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void>;
  /** Undoes both the announcement and the completion. */
  removeNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void>;
}

/** One NIC of the VM. */
export interface Nic {
  readonly id: string;
  readonly namespaceId: string;
  readonly endpoint: HcnEndpoint;
}

/** The guest's part of networking for one flavour, as steps that run in order and are released in reverse. */
export interface GuestNetworking {
  /** Steps before the first NIC. */
  namespaceSteps(namespace: HcnNamespace): readonly Step[];
  /** Why the guest cannot accept a NIC beside those present; undefined where it can. */
  whyNoMore?(present: number): string | undefined;
  /** All steps of one NIC, including the host's. */
  nicSteps(nic: Nic, host: Step): readonly Step[];
}
