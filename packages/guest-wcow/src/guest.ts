import type { Duplex } from "node:stream";
import {
  type ContainerNotification,
  GcsBridgeClient,
  type GcsCapabilities,
  GcsError,
  GuestRequests,
  type ProcessOwner,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import {
  endpointForWindowsGuest,
  type HcnEndpoint,
  type HcnNamespace,
  type HvSocketAddress,
  type LogForwardSettings,
  linuxVsockPorts,
  namespaceForWindowsGuest,
  type SecurityPolicy,
  type SecurityPolicyFragment,
  type WindowsBlockCims,
  type WindowsCombinedLayers,
  type WindowsConfidentialLayers,
  type WindowsGuestRequest,
  type WindowsMappedDirectory,
  type WindowsMappedVirtualDisk,
  type WindowsProcessParameters,
  type WindowsUvmConfig,
} from "@uvm-shim/hcs-schema";
import { procedureBounds, type WindowsModification, windowsManners } from "./bounds.ts";
import { WindowsContainer } from "./container.ts";
import { documentText } from "./document-text.ts";
import { terminateProcess, WindowsProcess, type WindowsSurroundings } from "./process.ts";
import type { WindowsGuestOptions } from "./types.ts";

type Defined = GcsCapabilities["GuestDefinedCapabilities"];

/** A Windows guest over its bridge, with one method for each request of the controllers. */
export class WindowsGuest {
  /** Resolves when the bridge has ended, with the cause unless `close` was called. */
  readonly closed: Promise<Error | undefined>;
  readonly #bridge: GcsBridgeClient;
  readonly #requests: GuestRequests<WindowsModification>;
  readonly #options: WindowsGuestOptions;
  readonly #containers = new Map<string, WindowsContainer>();
  #capabilities: Defined = {
    NamespaceAddRequestSupported: false,
    SignalProcessSupported: false,
    DumpStacksSupported: false,
    DeleteContainerStateSupported: false,
  };
  #nextPort: number = linuxVsockPorts.firstStdio;

  private constructor(stream: Duplex, options: WindowsGuestOptions) {
    this.#options = options;
    this.#bridge = new GcsBridgeClient(stream, {
      ...(options.maxMessageSize === undefined ? {} : { maxMessageSize: options.maxMessageSize }),
      ...(options.firstMessageId === undefined ? {} : { firstId: options.firstMessageId }),
      newActivityId: () => options.newActivityId(),
      onNotification: (notification) => this.#notified(notification),
      onIgnored: (what) => options.log.log("warn", "ignored a message from the guest", { what }),
    });
    this.closed = this.#bridge.closed;
    this.#requests = new GuestRequests(this.#bridge, options, windowsManners);
  }

  /**
   * Connects to a guest that has dialled in: negotiates the protocol and, if the guest expects them, sends the create
   * message for the VM itself, with its time zone, and the start message. Closes the stream on failure. Throws a
   * GcsError: Unimplemented for a guest that is not Windows, else the bridge's error.
   */
  static async connect(stream: Duplex, options: WindowsGuestOptions, signal?: AbortSignal): Promise<WindowsGuest> {
    const guest = new WindowsGuest(stream, options);
    try {
      const capabilities = await guest.#requests.negotiate(procedureBounds.negotiateProtocol, signal);
      checkSystem(capabilities);
      guest.#capabilities = capabilities.GuestDefinedCapabilities;
      if (capabilities.SendHostCreateMessage) {
        const config: WindowsUvmConfig = { SystemType: "Container", TimeZoneInformation: options.timeZone };
        const body = { ContainerConfig: JSON.stringify(config) };
        await guest.#requests.request("create", uvmContainerId, body, signal);
        if (capabilities.SendHostStartMessage) await guest.#requests.request("start", uvmContainerId, {}, signal);
      }
      return guest;
    } catch (error) {
      await guest.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#bridge.close();
  }

  /** How the guest reaches its host; the guest uses it when it starts containers. */
  async updateHvSocketAddress(address: HvSocketAddress, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "HvSocket", RequestType: "Update", Settings: address }, signal);
  }

  async mountDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedVirtualDisk", RequestType: "Add", Settings: disk }, signal);
  }

  /** Formats the disk as the scratch disk of a container and mounts it. */
  async mountScratchDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    const ResourceType = "MappedVirtualDiskForContainerScratch";
    await this.#modify({ ResourceType, RequestType: "Add", Settings: disk }, signal);
  }

  /** Of either kind. */
  async unmountDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedVirtualDisk", RequestType: "Remove", Settings: disk }, signal);
  }

  /** Guests have no request that undoes it. */
  async mapDirectory(directory: WindowsMappedDirectory, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedDirectory", RequestType: "Add", Settings: directory }, signal);
  }

  async addCombinedLayers(layers: WindowsCombinedLayers, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "CombinedLayers", RequestType: "Add", Settings: layers }, signal);
  }

  async removeCombinedLayers(
    { ContainerRootPath }: Pick<WindowsCombinedLayers, "ContainerRootPath">,
    signal?: AbortSignal,
  ): Promise<void> {
    const Settings = { ContainerRootPath };
    await this.#modify({ ResourceType: "CombinedLayers", RequestType: "Remove", Settings }, signal);
  }

  /** In a confidential VM. */
  async addConfidentialLayers(layers: WindowsConfidentialLayers, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "CWCOWCombinedLayers", RequestType: "Add", Settings: layers }, signal);
  }

  async removeConfidentialLayers(
    { ContainerID, CombinedLayers: { ContainerRootPath } }: WindowsConfidentialLayers,
    signal?: AbortSignal,
  ): Promise<void> {
    const Settings = { ContainerID, CombinedLayers: { ContainerRootPath } };
    await this.#modify({ ResourceType: "CWCOWCombinedLayers", RequestType: "Remove", Settings }, signal);
  }

  /** Mounts attached block CIMs as one volume. */
  async mountBlockCims(cims: WindowsBlockCims, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "WCOWBlockCims", RequestType: "Add", Settings: cims }, signal);
  }

  async unmountBlockCims({ VolumeGUID }: Pick<WindowsBlockCims, "VolumeGUID">, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "WCOWBlockCims", RequestType: "Remove", Settings: { VolumeGUID } }, signal);
  }

  /** Whether the guest accepts requests for network namespaces. */
  get supportsNetworkNamespaces(): boolean {
    return this.#capabilities.NamespaceAddRequestSupported;
  }

  get supportsHostProcessContainers(): boolean {
    return this.#capabilities.HostProcessContainerSupported ?? false;
  }

  get supportsLogForwarding(): boolean {
    return this.#capabilities.LogForwardingSupported ?? false;
  }

  /** Fields that the guest does not know are left out: it refuses what a newer network service of the host adds. */
  async addNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void> {
    const Settings = namespaceForWindowsGuest(namespace);
    await this.#modify({ ResourceType: "NetworkNamespace", RequestType: "Add", Settings }, signal);
  }

  async removeNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void> {
    const Settings = namespaceForWindowsGuest(namespace);
    await this.#modify({ ResourceType: "NetworkNamespace", RequestType: "Remove", Settings }, signal);
  }

  /** Announces a NIC before the host adds it. */
  async preAddNetworkInterface(nicId: string, endpoint: HcnEndpoint, signal?: AbortSignal): Promise<void> {
    const RequestType = "PreAdd";
    const Settings = { AdapterId: nicId, RequestType, Settings: endpointForWindowsGuest(endpoint) } as const;
    await this.#modify({ ResourceType: "Network", RequestType: "Add", Settings }, signal);
  }

  /** Completes an announced NIC after the host has added it. */
  async addNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void> {
    const Settings = { AdapterId: nicId, RequestType: "Add" } as const;
    await this.#modify({ ResourceType: "Network", RequestType: "Add", Settings }, signal);
  }

  /** Undoes both the announcement and the completion. */
  async removeNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void> {
    const Settings = { AdapterId: nicId, RequestType: "Remove" } as const;
    await this.#modify({ ResourceType: "Network", RequestType: "Remove", Settings }, signal);
  }

  /** Must be called once, before any request that the policy covers. */
  async setSecurityPolicy(policy: SecurityPolicy, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "SecurityPolicy", RequestType: "Add", Settings: policy }, signal);
  }

  async injectPolicyFragment(fragment: SecurityPolicyFragment, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "SecurityPolicyFragment", RequestType: "Add", Settings: fragment }, signal);
  }

  /** Tells the guest which sources to forward (base64), then starts it. Unimplemented if the guest cannot forward. */
  async startLogForwarding(sources: string, signal?: AbortSignal): Promise<void> {
    await this.#logService({ RPCType: "ModifyServiceSettings", Settings: sources }, signal);
    await this.#logService({ RPCType: "StartLogForwarding" }, signal);
  }

  async stopLogForwarding(signal?: AbortSignal): Promise<void> {
    await this.#logService({ RPCType: "StopLogForwarding" }, signal);
  }

  /** Resolves when the guest answers, even with an error: a guest that hangs does not answer at all. */
  async ping(signal?: AbortSignal): Promise<void> {
    try {
      await this.#requests.request("getProperties", uvmContainerId, { Query: "" }, signal);
    } catch (error) {
      if (!(error instanceof GcsError && error.hresult !== undefined)) throw error;
    }
  }

  get canDumpStacks(): boolean {
    return this.#capabilities.DumpStacksSupported;
  }

  async dumpStacks(signal?: AbortSignal): Promise<string> {
    return (await this.#requests.request("dumpStacks", uvmContainerId, {}, signal)).GuestStacks;
  }

  /** Runs a program of the guest itself. See WindowsProcess.execute. */
  execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<WindowsProcess> {
    const owner: ProcessOwner = {
      id: uvmContainerId,
      kill: (pid) => terminateProcess(this.#requests, uvmContainerId, pid),
      exiting: async () => {},
    };
    return WindowsProcess.execute(this.#surroundings(), owner, parameters, signal);
  }

  /**
   * `settings` are the hosted system's document. If the signal aborts, a container that the guest creates after all is
   * removed again.
   */
  async createContainer(id: string, settings: object, signal?: AbortSignal): Promise<WindowsContainer> {
    const subject = { procedure: "create", containerId: id };
    if (this.#containers.has(id))
      throw new GcsError("AlreadyExists", "the guest already has a container with this id", subject);
    const container = new WindowsContainer(id, {
      surroundings: this.#surroundings(),
      canDeleteState: this.#capabilities.DeleteContainerStateSupported,
      onForgotten: () => this.#forget(container),
    });
    // Registered first, since the guest may report the container's exit before it answers its creation.
    this.#containers.set(id, container);
    try {
      const body = { ContainerConfig: documentText(settings) };
      await this.#requests.make("create", id, body, signal, () => this.#remove(container));
      return container;
    } catch (error) {
      this.#forget(container);
      throw error;
    }
  }

  #surroundings(): WindowsSurroundings {
    return {
      requests: this.#requests,
      options: this.#options,
      takePort: () => this.#nextPort++,
      hasEvents: this.#capabilities.SignalProcessSupported,
    };
  }

  async #modify(request: WindowsGuestRequest, signal: AbortSignal | undefined): Promise<void> {
    await this.#requests.modify(request, signal);
  }

  async #logService(Settings: LogForwardSettings, signal: AbortSignal | undefined): Promise<void> {
    const procedure = "modifyServiceSettings";
    if (!this.supportsLogForwarding) {
      const message = "the guest does not forward logs: capability LogForwardingSupported is missing";
      throw new GcsError("Unimplemented", message, { procedure });
    }
    const body = { PropertyType: "LogForwardService", Settings } as const;
    await this.#requests.request(procedure, uvmContainerId, body, signal);
  }

  async #remove(container: WindowsContainer): Promise<void> {
    try {
      await container.terminate();
      await container.deleteState();
    } catch (error) {
      const fields = { containerId: container.id, error };
      this.#options.log.log("warn", "cannot remove a container whose creation was abandoned", fields);
    }
  }

  #forget(container: WindowsContainer): void {
    if (this.#containers.get(container.id) === container) this.#containers.delete(container.id);
  }

  #notified(notification: ContainerNotification): void {
    const container = this.#containers.get(notification.containerId);
    if (container === undefined) {
      this.#options.log.log("warn", "ignored a notification for an unknown container", { ...notification });
      return;
    }
    this.#options.log.log("debug", "notification from the guest", { ...notification });
    container.notified(notification);
  }
}

/** Windows guests may leave the name of their system empty. */
function checkSystem({ RuntimeOsType }: GcsCapabilities): void {
  if (RuntimeOsType === "" || RuntimeOsType.toLowerCase() === "windows") return;
  const message = `unsupported guest operating system "${RuntimeOsType}": expected "Windows" or nothing`;
  throw new GcsError("Unimplemented", message, { procedure: "negotiateProtocol" });
}
