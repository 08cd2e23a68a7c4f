import type { Duplex } from "node:stream";
import {
  type ContainerNotification,
  GcsBridgeClient,
  type GcsCapabilities,
  GcsError,
  type GuestOptions,
  GuestRequests,
  type ProcessOwner,
  type ProcessSurroundings,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import {
  type GuestScsiDevice,
  type LinuxCombinedLayers,
  type LinuxGuestRequest,
  type LinuxHostedContainerSettings,
  type LinuxMappedDirectory,
  type LinuxMappedVirtualDisk,
  type LinuxNetworkAdapter,
  type LinuxProcessParameters,
  type LinuxVpciDevice,
  linuxVsockPorts,
  type SecurityPolicy,
  type SecurityPolicyFragment,
} from "@uvm-shim/hcs-schema";
import { linuxManners, procedureBounds } from "./bounds.ts";
import { LinuxContainer } from "./container.ts";
import { checkController, checkVmProgram } from "./preconditions.ts";
import { LinuxProcess, leftBehindError, sigkill, signalProcess } from "./process.ts";

/** The schema version of container settings; a guest must support it or a later minor version. */
const settingsSchema = { Major: 2, Minor: 1 } as const;

const shownVersions = 8;

/** A Linux guest over its bridge, with one method for each request of the controllers. */
export class LinuxGuest {
  /** Resolves when the bridge has ended, with the cause unless `close` was called. */
  readonly closed: Promise<Error | undefined>;
  readonly #bridge: GcsBridgeClient;
  readonly #requests: GuestRequests<LinuxGuestRequest>;
  readonly #options: GuestOptions;
  readonly #surroundings: ProcessSurroundings;
  readonly #containers = new Map<string, LinuxContainer>();
  #canDeleteState = false;
  #supportsNetworkNamespaces = false;
  #canPause = false;
  #canDumpStacks = false;
  #nextPort: number = linuxVsockPorts.firstStdio;

  private constructor(stream: Duplex, options: GuestOptions) {
    this.#options = options;
    this.#bridge = new GcsBridgeClient(stream, {
      ...(options.maxMessageSize === undefined ? {} : { maxMessageSize: options.maxMessageSize }),
      ...(options.firstMessageId === undefined ? {} : { firstId: options.firstMessageId }),
      newActivityId: () => options.newActivityId(),
      onNotification: (notification) => this.#notified(notification),
      onIgnored: (what) => options.log.log("warn", "ignored a message from the guest", { what }),
    });
    this.closed = this.#bridge.closed;
    this.#requests = new GuestRequests(this.#bridge, options, linuxManners);
    this.#surroundings = { requests: this.#requests, options, takePort: () => this.#nextPort++ };
  }

  /**
   * Connects to a guest that has dialled in: negotiates the protocol, checks the guest's capabilities and, if the guest
   * expects them, sends the create and start messages for the VM itself. Closes the stream on failure. Throws a
   * GcsError: Unimplemented for an unsuitable guest, else the bridge's error.
   */
  static async connect(stream: Duplex, options: GuestOptions, signal?: AbortSignal): Promise<LinuxGuest> {
    const guest = new LinuxGuest(stream, options);
    try {
      const capabilities = await guest.#requests.negotiate(procedureBounds.negotiateProtocol, signal);
      checkCapabilities(capabilities);
      guest.#canDeleteState = capabilities.GuestDefinedCapabilities.DeleteContainerStateSupported;
      guest.#supportsNetworkNamespaces = capabilities.GuestDefinedCapabilities.NamespaceAddRequestSupported;
      guest.#canPause = capabilities.GuestDefinedCapabilities.PauseContainerSupported ?? false;
      guest.#canDumpStacks = capabilities.GuestDefinedCapabilities.DumpStacksSupported;
      if (capabilities.SendHostCreateMessage) {
        const ContainerConfig = JSON.stringify({ SystemType: "Container" });
        await guest.#requests.request("create", uvmContainerId, { ContainerConfig }, signal);
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

  async mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedVirtualDisk", RequestType: "Add", Settings: disk }, signal);
  }

  async unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedVirtualDisk", RequestType: "Remove", Settings: disk }, signal);
  }

  async ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "SCSIDevice", RequestType: "Remove", Settings: device }, signal);
  }

  async mountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedDirectory", RequestType: "Add", Settings: directory }, signal);
  }

  async unmountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "MappedDirectory", RequestType: "Remove", Settings: directory }, signal);
  }

  /** Resolves when the device that the host assigned under this VMBus GUID has appeared in the guest. */
  async waitForDevice(device: LinuxVpciDevice, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "VPCIDevice", RequestType: "Add", Settings: device }, signal);
  }

  async addCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "CombinedLayers", RequestType: "Add", Settings: layers }, signal);
  }

  async removeCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "CombinedLayers", RequestType: "Remove", Settings: layers }, signal);
  }

  /** Whether the guest accepts network interfaces; otherwise it finds the NICs by itself. */
  get supportsNetworkNamespaces(): boolean {
    return this.#supportsNetworkNamespaces;
  }

  async addNetworkInterface(adapter: LinuxNetworkAdapter, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "Network", RequestType: "Add", Settings: adapter }, signal);
  }

  async removeNetworkInterface(
    adapter: Pick<LinuxNetworkAdapter, "NamespaceID" | "ID">,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#modify({ ResourceType: "Network", RequestType: "Remove", Settings: adapter }, signal);
  }

  /** Adjusts the common limit of all containers to the current memory of the VM. */
  async updateMemoryLimits(signal?: AbortSignal): Promise<void> {
    const Settings = undefined;
    await this.#modify({ ResourceType: "PodCgroupMemoryLimit", RequestType: "Update", Settings }, signal);
  }

  /** Must be called once, before any request that the policy covers. */
  async setSecurityPolicy(policy: SecurityPolicy, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "SecurityPolicy", RequestType: "Add", Settings: policy }, signal);
  }

  async injectPolicyFragment(fragment: SecurityPolicyFragment, signal?: AbortSignal): Promise<void> {
    await this.#modify({ ResourceType: "SecurityPolicyFragment", RequestType: "Add", Settings: fragment }, signal);
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
    return this.#canDumpStacks;
  }

  async dumpStacks(signal?: AbortSignal): Promise<string> {
    return (await this.#requests.request("dumpStacks", uvmContainerId, {}, signal)).GuestStacks;
  }

  /** Runs a program of the guest itself, given by CommandArgs. See LinuxProcess.execute. */
  async execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<LinuxProcess> {
    checkVmProgram(parameters);
    const owner: ProcessOwner = {
      id: uvmContainerId,
      kill: (pid) => signalProcess(this.#requests, uvmContainerId, pid, sigkill),
      exiting: async () => {},
      abandoned: leftBehindError,
    };
    return await LinuxProcess.execute(this.#surroundings, owner, parameters, signal);
  }

  /** If the signal aborts, a container that the guest creates after all is removed again. */
  async createContainer(
    id: string,
    settings: LinuxHostedContainerSettings,
    signal?: AbortSignal,
  ): Promise<LinuxContainer> {
    const subject = { procedure: "create", containerId: id };
    if (this.#containers.has(id))
      throw new GcsError("AlreadyExists", "the guest already has a container with this id", subject);
    const container = new LinuxContainer(id, {
      surroundings: this.#surroundings,
      canDeleteState: this.#canDeleteState,
      canPause: this.#canPause,
      onForgotten: () => this.#forget(container),
    });
    // Registered first, since the guest may report the container's exit before it answers its creation.
    this.#containers.set(id, container);
    try {
      const body = { ContainerConfig: JSON.stringify(settings) };
      await this.#requests.make("create", id, body, signal, () => this.#remove(container));
      return container;
    } catch (error) {
      this.#forget(container);
      throw error;
    }
  }

  async #modify(request: LinuxGuestRequest, signal: AbortSignal | undefined): Promise<void> {
    checkController(request);
    await this.#requests.modify(request, signal);
  }

  async #remove(container: LinuxContainer): Promise<void> {
    try {
      await container.terminate();
      await container.deleteState();
    } catch (error) {
      const fields = { containerId: container.id, error };
      this.#options.log.log("warn", "cannot remove a container whose creation was abandoned", fields);
    }
  }

  #forget(container: LinuxContainer): void {
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

function checkCapabilities({
  RuntimeOsType,
  SupportedSchemaVersions,
  GuestDefinedCapabilities,
}: GcsCapabilities): void {
  const refuse = (message: string): GcsError =>
    new GcsError("Unimplemented", message, { procedure: "negotiateProtocol" });
  if (RuntimeOsType.toLowerCase() !== "linux") {
    throw refuse(`unsupported guest operating system "${RuntimeOsType}": expected "Linux"`);
  }
  const { Major, Minor } = settingsSchema;
  if (!SupportedSchemaVersions.some((version) => version.Major === Major && version.Minor >= Minor)) {
    const known = SupportedSchemaVersions.map((version) => `${version.Major}.${version.Minor}`);
    const more = known.length > shownVersions ? ", …" : "";
    const versions = `[${known.slice(0, shownVersions).join(", ")}${more}]`;
    throw refuse(`unsupported guest schema versions ${versions}: expected ${Major}.${Minor} or later`);
  }
  if (!GuestDefinedCapabilities.SignalProcessSupported) {
    throw refuse("the guest does not support signals: capability SignalProcessSupported is missing");
  }
}
