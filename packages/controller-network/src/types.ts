/** What the network controller asks of the host and of guests: one interface for each kind, with its own fields alone. */
import type { HcnEndpoint, HcnNamespace, LinuxNetworkAdapter, NetworkAdapter } from "@uvm-shim/hcs-schema";
import type { Step } from "@uvm-shim/lifecycle";

/** The host's networks, of which the controller changes nothing. */
export interface NetworkQueries {
  queryNamespace(id: string, signal?: AbortSignal): Promise<HcnNamespace>;
  queryEndpoint(id: string, signal?: AbortSignal): Promise<HcnEndpoint>;
}

/** The host's side of the VM's NICs. */
export interface NicHost {
  addNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
  removeNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
}

export interface LinuxNetworkGuest {
  /** Whether it takes network interfaces. One that does not sets up by itself what the host adds. */
  readonly supportsNetworkNamespaces: boolean;
  addNetworkInterface(adapter: LinuxNetworkAdapter, signal?: AbortSignal): Promise<void>;
  removeNetworkInterface(adapter: Pick<LinuxNetworkAdapter, "NamespaceID" | "ID">, signal?: AbortSignal): Promise<void>;
}

export interface WindowsNetworkGuest {
  /** Whether it takes network namespaces. */
  readonly supportsNetworkNamespaces: boolean;
  addNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void>;
  removeNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void>;
  /** Announces a NIC, before the host adds it. */
  preAddNetworkInterface(nicId: string, endpoint: HcnEndpoint, signal?: AbortSignal): Promise<void>;
  /** Completes a NIC that was announced and that the host has added. */
  addNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void>;
  /** Takes back both the announcement and the completion. */
  removeNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void>;
}

/** One NIC of the VM. */
export interface Nic {
  readonly id: string;
  readonly namespaceId: string;
  readonly endpoint: HcnEndpoint;
}

/** What a kind of guest adds to the host's part, as steps that are taken in order and taken back in reverse. */
export interface GuestNetworking {
  /** Steps before the first NIC. */
  namespaceSteps(namespace: HcnNamespace): readonly Step[];
  /** Why the guest cannot take a NIC beside this many; undefined where it can. */
  whyNoMore?(present: number): string | undefined;
  /** All steps of one NIC, the host's among them. */
  nicSteps(nic: Nic, host: Step): readonly Step[];
}
