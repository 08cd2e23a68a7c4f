/**
 * The host boundary: what the compute service, hvsockets and virtual disks offer, as promises. Two drivers implement
 * it, `windows` (koffi) and `emulator`; both pass the contract suite in ./testing/contract.ts. Controllers do not
 * import this: they declare what they need, and these shapes satisfy it.
 */
import type { Duplex } from "node:stream";
import type {
  ComputeSystemDocument,
  ComputeSystemProperties,
  CrashReport,
  HcnEndpoint,
  HcnEndpointSettings,
  HcnNamespace,
  HcnNamespaceSettings,
  HcnNetwork,
  HcnNetworkSettings,
  ModifySettingRequest,
  SystemExitStatus,
  SystemPropertyType,
} from "@uvm-shim/hcs-schema";

export interface ComputeHost {
  readonly networks: HostNetworks;
  /** Creates a compute system. It exists, not started, when the promise resolves. */
  createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<ComputeSystem>;
  openComputeSystem(id: string, signal?: AbortSignal): Promise<ComputeSystem>;
  enumerateComputeSystems(owner?: string, signal?: AbortSignal): Promise<readonly ComputeSystemProperties[]>;
  /** Lets the VM open a file that belongs to the caller (a scratch disk). */
  grantVmAccess(computeSystemId: string, path: string, signal?: AbortSignal): Promise<void>;
  /**
   * Has a VM that is to be created with this id, or has not started, join a network namespace that was made on the host, and
   * answers with the id of the HCN namespace that stands for it. It goes with the VM. Absent where the host has no such
   * namespaces: Windows has none but HCN's.
   */
  joinNetworkNamespace?(computeSystemId: string, path: string, signal?: AbortSignal): Promise<string>;
  /**
   * Has a VM that has not started lie below a cgroup of the host, and a process of the host stand there until the VM has
   * ended, so that both are accounted and bounded with the pod that they are for. Absent where the host has no cgroups.
   */
  joinControlGroup?(computeSystemId: string, path: string, pid: number, signal?: AbortSignal): Promise<void>;
  /**
   * Resolves when the host answers anything at all. Absent where that tells nothing: of Windows' service it is not known
   * that it is slow in whatever it is asked when it is slow in one thing.
   */
  ping?(signal?: AbortSignal): Promise<void>;
  /** Gives back what the driver holds (connections, callbacks). Systems follow their documents. */
  close(): Promise<void>;
}

/**
 * The objects of the Host Compute Network service, by GUID. They live until they are deleted, whoever made them. What
 * is asked for and does not exist is NotFound, `gone`.
 */
export interface HostNetworks {
  createNetwork(settings: HcnNetworkSettings, signal?: AbortSignal): Promise<HcnNetwork>;
  queryNetwork(id: string, signal?: AbortSignal): Promise<HcnNetwork>;
  /** FailedPrecondition while it has endpoints. */
  deleteNetwork(id: string, signal?: AbortSignal): Promise<void>;
  createEndpoint(networkId: string, settings: HcnEndpointSettings, signal?: AbortSignal): Promise<HcnEndpoint>;
  queryEndpoint(id: string, signal?: AbortSignal): Promise<HcnEndpoint>;
  /** Also while a VM has a NIC on it, which then has no cable any more. */
  deleteEndpoint(id: string, signal?: AbortSignal): Promise<void>;
  createNamespace(settings: HcnNamespaceSettings, signal?: AbortSignal): Promise<HcnNamespace>;
  queryNamespace(id: string, signal?: AbortSignal): Promise<HcnNamespace>;
  /** Lets go of the endpoints in it. */
  deleteNamespace(id: string, signal?: AbortSignal): Promise<void>;
  addNamespaceEndpoint(namespaceId: string, endpointId: string, signal?: AbortSignal): Promise<void>;
  removeNamespaceEndpoint(namespaceId: string, endpointId: string, signal?: AbortSignal): Promise<void>;
}

export interface ComputeSystem {
  readonly id: string;
  /** GUID of the VM, by which hvsockets address it. */
  readonly runtimeId: string;
  start(signal?: AbortSignal): Promise<void>;
  /** Asks the guest to end. Already stopped counts as done. */
  shutdown(signal?: AbortSignal): Promise<void>;
  /** Ends it at once. Already stopped, not found and pending count as done; `exited` tells the completion. */
  terminate(signal?: AbortSignal): Promise<void>;
  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void>;
  /** What is always told of a system, and the groups of properties asked for. Statistics need one that runs. */
  properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties>;
  /**
   * Bytes of the host's memory that the VM occupies now, which no property tells of a VM whose memory is virtual:
   * on Windows the working set of the VM's vmmem process. The VM must run.
   */
  workingSet(signal?: AbortSignal): Promise<number>;
  /** Settles once, when the system has exited, or rejects when the host service is lost or the handle is closed. */
  readonly exited: Promise<SystemExitStatus>;
  /** What the host told of a crash of the guest; comes before `exited` settles. */
  readonly crashReport: CrashReport | undefined;
  /** Listens for this VM. Possible from create on, so before start. */
  listen(service: HvsocketService): Promise<HvsocketListener>;
  /** Dials a vsock port of the guest. */
  connect(port: number, signal?: AbortSignal): Promise<Duplex>;
  /** Closes the handle; repeatable. */
  close(): Promise<void>;
}

/** A vsock port, or the GUID of an hvsocket service. */
export type HvsocketService = number | string;

export interface HvsocketListener {
  /** The vsock port; of a service that is none, the first 32 bits of its GUID. */
  readonly port: number;
  /** The next connection. Rejects when the listener is closed or the signal aborts. */
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}
