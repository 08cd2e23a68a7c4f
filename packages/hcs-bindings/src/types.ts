/**
 * The host boundary: the compute service, hvsockets and virtual disks as promises. Two drivers implement it, `windows`
 * (koffi) and `emulator`; both pass the contract suite in ./testing/contract.ts. Controllers do not import these types:
 * each declares its own interface, which these satisfy.
 */
import type { Duplex } from "node:stream";
import type {
  ComputeSystemDocument,
  ComputeSystemProperties,
  CrashReport,
  CredentialGuardInstance,
  HcnEndpoint,
  HcnEndpointSettings,
  HcnNamespace,
  HcnNamespaceSettings,
  HcnNetwork,
  HcnNetworkSettings,
  ModifySettingRequest,
  SystemExitStatus,
  SystemPropertyType,
  TimeZoneInformation,
} from "@uvm-shim/hcs-schema";

/**
 * A host. Every call rejects with a `HostError` and nothing else; a signal that aborts ends the wait, and what is made
 * later is undone.
 */
export interface ComputeHost {
  readonly networks: HostNetworks;
  /** What Windows guests need beside their VMs. */
  readonly windows: WindowsGuestServices;
  /** Creates a compute system without starting it. */
  createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<ComputeSystem>;
  openComputeSystem(id: string, signal?: AbortSignal): Promise<ComputeSystem>;
  enumerateComputeSystems(owner?: string, signal?: AbortSignal): Promise<readonly ComputeSystemProperties[]>;
  /** Lets the VM open a file of the caller, such as a scratch disk. */
  grantVmAccess(computeSystemId: string, path: string, signal?: AbortSignal): Promise<void>;
  /**
   * Joins a VM to a network namespace of the host, before the VM is created or started, and returns the id of the HCN
   * namespace that represents it. The HCN namespace ends with the VM. Absent on Windows, which has HCN namespaces only.
   */
  joinNetworkNamespace?(computeSystemId: string, path: string, signal?: AbortSignal): Promise<string>;
  /**
   * Places a VM that has not started, and a process of the host if one is named, below a cgroup of the host until the VM
   * ends, so that the pod's limits and accounting include both. Absent on hosts without cgroups.
   */
  joinControlGroup?(
    computeSystemId: string,
    path: string,
    pid: number | undefined,
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * Resolves when the host answers. Absent on Windows: the compute service may answer a query while another request
   * hangs, so an answer proves nothing.
   */
  ping?(signal?: AbortSignal): Promise<void>;
  /** Releases the driver's connections and callbacks. Whether systems end is set in their documents. */
  close(): Promise<void>;
}

/**
 * The objects of the Host Compute Network service, by GUID. They exist until they are deleted, whoever created them. A
 * call for an object that does not exist fails with NotFound and `gone`.
 */
export interface HostNetworks {
  createNetwork(settings: HcnNetworkSettings, signal?: AbortSignal): Promise<HcnNetwork>;
  queryNetwork(id: string, signal?: AbortSignal): Promise<HcnNetwork>;
  /** FailedPrecondition while the network has endpoints. */
  deleteNetwork(id: string, signal?: AbortSignal): Promise<void>;
  createEndpoint(networkId: string, settings: HcnEndpointSettings, signal?: AbortSignal): Promise<HcnEndpoint>;
  queryEndpoint(id: string, signal?: AbortSignal): Promise<HcnEndpoint>;
  /** Allowed while a NIC of a VM uses the endpoint; the NIC is then disconnected. */
  deleteEndpoint(id: string, signal?: AbortSignal): Promise<void>;
  createNamespace(settings: HcnNamespaceSettings, signal?: AbortSignal): Promise<HcnNamespace>;
  queryNamespace(id: string, signal?: AbortSignal): Promise<HcnNamespace>;
  /** Detaches its endpoints. */
  deleteNamespace(id: string, signal?: AbortSignal): Promise<void>;
  addNamespaceEndpoint(namespaceId: string, endpointId: string, signal?: AbortSignal): Promise<void>;
  removeNamespaceEndpoint(namespaceId: string, endpointId: string, signal?: AbortSignal): Promise<void>;
}

/** What the host does for Windows guests and their containers. */
export interface WindowsGuestServices {
  /**
   * Creates a container's credential guard, which a VM reaches by hvsocket. It exists until it is removed or the compute
   * service ends, whoever created it. AlreadyExists if the container has one. No error repeats the specification.
   */
  addCredentialGuard(
    containerId: string,
    credentialSpecification: string,
    signal?: AbortSignal,
  ): Promise<CredentialGuardInstance>;
  credentialGuards(signal?: AbortSignal): Promise<readonly CredentialGuardInstance[]>;
  /** NotFound, with `gone`, if the container has none. */
  removeCredentialGuard(containerId: string, signal?: AbortSignal): Promise<void>;
  /**
   * Leads hvsockets that are addressed to a container's SystemGUID into its VM, until the redirection or the host is closed,
   * or the caller's process ends. AlreadyExists while the GUID is redirected.
   */
  redirectHvsockets(systemId: string, vmId: string, signal?: AbortSignal): Promise<HvsocketRedirection>;
  /** GUID, in lower case, that the host gives to a layer by this name: the last component of its path. */
  layerId(name: string, signal?: AbortSignal): Promise<string>;
  /**
   * Creates `sandbox.vhdx`, the scratch disk of a container, in a folder, which is made if it does not exist.
   * AlreadyExists if the disk exists. Parents are paths, the topmost first; each must exist (NotFound).
   */
  createScratchLayer(path: string, parents: readonly string[], signal?: AbortSignal): Promise<void>;
  /** Writes an id into a virtual disk, by which the guest recognises the disk. */
  setDiskIdentifier(path: string, id: string, signal?: AbortSignal): Promise<void>;
  /** Lets every VM of the host open a file or folder. */
  grantVmGroupAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** The host's time zone now. */
  timeZone(signal?: AbortSignal): Promise<TimeZoneInformation>;
}

/** Holds a redirection of hvsockets. */
export interface HvsocketRedirection {
  /** Idempotent. */
  close(): Promise<void>;
}

/** A handle of a compute system. Closing the last one ends the system, if its document says so. */
export interface ComputeSystem {
  readonly id: string;
  /** GUID of the VM, its address for hvsockets. */
  readonly runtimeId: string;
  start(signal?: AbortSignal): Promise<void>;
  /** Asks the guest to shut down. Succeeds if the system has already stopped. */
  shutdown(signal?: AbortSignal): Promise<void>;
  /** Ends the system at once. Succeeds if it has already stopped, is stopping or does not exist; `exited` reports the end. */
  terminate(signal?: AbortSignal): Promise<void>;
  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void>;
  /** The basic properties, and the requested groups. Statistics require a running system. */
  properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties>;
  /**
   * Bytes of host memory that the running VM uses now, which no property reports for a VM with virtual memory. On
   * Windows: the working set of the VM's vmmem process.
   */
  workingSet(signal?: AbortSignal): Promise<number>;
  /** Resolves when the system has exited; rejects when the compute service is lost or the handle is closed. */
  readonly exited: Promise<SystemExitStatus>;
  /** The host's report of a guest crash; set before `exited` settles. */
  readonly crashReport: CrashReport | undefined;
  /** Listens for connections from this VM. Allowed before start. */
  listen(service: HvsocketService): Promise<HvsocketListener>;
  /** Connects to a vsock port of the guest. */
  connect(port: number, signal?: AbortSignal): Promise<Duplex>;
  /** Closes the handle. Idempotent. */
  close(): Promise<void>;
}

/** A vsock port, or the GUID of an hvsocket service. */
export type HvsocketService = number | string;

/** Takes the connections of a VM's guest to one service of the host. */
export interface HvsocketListener {
  /** The vsock port; for another hvsocket service, the first 32 bits of its GUID. */
  readonly port: number;
  /** The next connection. Rejects when the listener is closed or the signal aborts. */
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}
