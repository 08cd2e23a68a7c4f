/** The guest's handlers of the GCS bridge: containers, processes, storage and power. */
import { hostname } from "node:os";
import {
  FieldError,
  type GcsCapabilities,
  GuestFault,
  type GuestHandlers,
  type NotificationType,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import {
  dumpStacks,
  followMachineMemory,
  liftLimits,
  metricsOf,
  processesOf,
  removeCgroups,
  runInNetwork,
  shareDevices,
} from "@uvm-shim/guest-agent-common";
import type { LinuxGuestRequest, SecurityPolicy } from "@uvm-shim/hcs-schema";
import { Container } from "./container/container.ts";
import { readContainerSettings, readProcessParameters, readPropertyTypes } from "./container/parameters.ts";
import { withReadOnlyRoot } from "./container/read-only-root.ts";
import { rewriteSpecification } from "./container/specification.ts";
import { NetworkNamespaces } from "./network/namespaces.ts";
import { AbsentPart, demandSettings } from "./pods/absent-parts.ts";
import { readContainerKind } from "./pods/container-kind.ts";
import { PodTable } from "./pods/pod-table.ts";
import { type ContainerNetwork, prepareContainer } from "./pods/preparation.ts";
import { PolicyGuard } from "./policy/policy-guard.ts";
import { withSecurityContext } from "./policy/security-context.ts";
import { type DeniedRequest, requireOpenPolicy } from "./policy/security-policy.ts";
import type { ProcessTable } from "./process/process.ts";
import { StdioRelay } from "./process/stdio-relay.ts";
import { VmProcesses } from "./process/vm-processes.ts";
import { readGuestRequest } from "./requests/guest-requests.ts";
import { modifyStorage, type RunTool } from "./storage/storage.ts";
import type { GuestSurroundings } from "./surroundings.ts";

const sigterm = 15;
const sigkill = 9;

/** What this guest tells its host that it can do. */
export const guestCapabilities: GcsCapabilities = {
  SendHostCreateMessage: false,
  SendHostStartMessage: false,
  SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
  RuntimeOsType: "Linux",
  GuestDefinedCapabilities: {
    NamespaceAddRequestSupported: true,
    SignalProcessSupported: true,
    DumpStacksSupported: true,
    DeleteContainerStateSupported: true,
    PauseContainerSupported: true,
  },
};

/** Ids become names of cgroups and files of the guest. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** The guest behind its bridge: one handler for each procedure. */
export class Guest {
  readonly handlers: GuestHandlers;
  readonly #surroundings: GuestSurroundings;
  readonly #containers = new Map<string, Container>();
  readonly #vm: VmProcesses;
  /** Containers that the runtime is creating; requests about them are refused. */
  readonly #creating = new Set<string>();
  readonly #podOf = new Map<string, string>();
  readonly #pods = new PodTable();
  readonly #namespaces: NetworkNamespaces;
  #policy: SecurityPolicy | undefined;
  #denied: ReadonlySet<DeniedRequest> = new Set();
  /** Present once there is a policy that is not empty. */
  #guard: PolicyGuard | undefined;

  constructor(surroundings: GuestSurroundings) {
    this.#surroundings = surroundings;
    this.#vm = new VmProcesses(surroundings.children);
    const { attached, children } = surroundings;
    this.#namespaces = new NetworkNamespaces(attached.findNic, runInNetwork(children));
    const done = {};
    this.handlers = {
      create: async ({ ContainerConfig }, { containerId }) => {
        if (!isVm(containerId)) await this.#create(containerId, ContainerConfig);
        return done;
      },
      // The container's first process starts it: this request has no effect, even for an unknown container.
      start: async () => done,
      executeProcess: async ({ Settings }, context) => {
        const parameters = readProcessParameters(Settings.ProcessParameters);
        const container = isVm(context.containerId) ? undefined : this.#get(context.containerId);
        if (container === undefined) this.#requireAllowed("exec_external", "exec");
        const ports = Settings.VsockStdioRelaySettings ?? {};
        const relay = await StdioRelay.connect(parameters, ports, surroundings.dial, context.signal);
        try {
          const process =
            container === undefined
              ? await this.#vm.execute(parameters, relay)
              : await container.execute(parameters, relay, context.signal);
          return { ProcessId: process.pid };
        } catch (error) {
          relay.close();
          throw error;
        }
      },
      waitForProcess: async ({ ProcessId, TimeoutInMs }, context) => {
        const process = this.#processesOf(context.containerId).get(ProcessId);
        const ExitCode = await process.reportedWithin(TimeoutInMs, context.signal);
        // The consequences of the exit must follow the answer.
        setImmediate(() => process.hasAnswered());
        return { ExitCode };
      },
      signalProcess: async ({ ProcessId, Options }, { containerId }) => {
        const signal = Options === undefined || Options.Signal === 0 ? sigkill : Options.Signal;
        if (typeof signal === "string") throw new FieldError("Options.Signal must be an integer, got a string");
        // Only for containers, like resizing: the reference's guest looks for the VM among them, and does not find it.
        this.#get(containerId).signal(ProcessId, signal);
        return done;
      },
      resizeConsole: async ({ ProcessId, Height, Width }, { containerId }) => {
        this.#get(containerId).processes.get(ProcessId).resize(Height, Width);
        return done;
      },
      getProperties: async ({ Query }, { containerId }) => {
        const types = readPropertyTypes(Query);
        if (isVm(containerId)) throw new GuestFault("E_FAIL", "the VM itself has no properties: expected a container");
        const container = this.#get(containerId);
        const pids = types.includes("ProcessList") ? container.processIds() : undefined;
        const metrics = types.includes("Statistics") ? container.metrics() : undefined;
        return {
          Properties: JSON.stringify({ ProcessList: pids?.map((pid) => ({ ProcessId: pid })), ...metrics }),
        };
      },
      modifySettings: async ({ Request }, { containerId, signal }) => {
        await this.#modify(readGuestRequest(Request), containerId, signal);
        return done;
      },
      dumpStacks: async () => {
        this.#requireAllowed("dump_stacks", "dump stacks");
        return { GuestStacks: dumpStacks() };
      },
      shutdownGraceful: async (_, { containerId }) => {
        if (isVm(containerId)) surroundings.powerOff();
        else await this.#get(containerId).shutdown(sigterm);
        return done;
      },
      shutdownForced: async (_, { containerId }) => {
        if (isVm(containerId)) surroundings.powerOff();
        else await this.#get(containerId).shutdown(sigkill);
        return done;
      },
      deleteContainerState: async (_, { containerId }) => {
        this.#guard?.checkChange(containerId);
        const container = this.#get(containerId);
        this.#guard?.checkDeletion(container);
        try {
          await container.delete();
        } finally {
          this.#forget(containerId);
        }
        return done;
      },
    };
  }

  async #create(id: string, configuration: string): Promise<void> {
    if (!idPattern.test(id)) {
      throw new GuestFault(
        "E_INVALIDARG",
        `invalid ContainerId ${JSON.stringify(id.slice(0, 128))}: expected ${idPattern}`,
      );
    }
    this.#guard?.checkChange(id);
    if (this.#containers.has(id) || this.#creating.has(id)) {
      throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", `container ${id} already exists`);
    }
    this.#creating.add(id);
    try {
      demandSettings(id, configuration);
      this.#containers.set(id, await this.#make(id, configuration));
      this.#surroundings.log.info("container created", { container: id });
    } catch (error) {
      this.#forget(id);
      if (error instanceof AbsentPart) this.#surroundings.fail(error);
      throw error;
    } finally {
      this.#creating.delete(id);
    }
  }

  async #make(id: string, configuration: string): Promise<Container> {
    const { devices, facts, log, notify, runtime } = this.#surroundings;
    const settings = readContainerSettings(configuration);
    this.#guard?.checkContainer(id, settings);
    const { OciBundlePath: bundle, OciSpecification: given, ScratchDirPath } = settings;
    const kind = readContainerKind(id, given.annotations);
    if (kind.kind !== "standalone") this.#podOf.set(id, kind.podId);
    const prepared = prepareContainer(
      kind,
      { id, bundle, given },
      { pods: this.#pods, namespaces: this.#namespaces, devices, guestName: hostname },
    );
    const shown = withSecurityContext(prepared.spec, id, bundle, this.#policy);
    shareDevices();
    const notifyExit = (type: NotificationType): void =>
      notify({ containerId: id, activityId: uvmContainerId, type, operation: "None", result: 0 });
    const container = new Container(
      id,
      { bundle, scratch: ScratchDirPath, sandboxRoot: prepared.ownSandboxRoot },
      {
        spec: withReadOnlyRoot(rewriteSpecification(id, shown, facts)),
        outputCopy: prepared.outputCopy,
        user: prepared.user,
      },
      {
        runtime,
        facts,
        group: {
          processes: () => processesOf(id),
          metrics: () => metricsOf(id),
          lift: (limits) => liftLimits(id, limits),
          remove: () => removeCgroups(id),
        },
        onExit: (type) => {
          log.info("container has ended", { container: id, type });
          notifyExit(type);
        },
        onError: (what, error) => log.error(what, { container: id, error: String(error) }),
      },
    );
    const pid = await container.create();
    try {
      await this.#connect(prepared.network, pid);
    } catch (error) {
      throw await container.discard(error);
    }
    return container;
  }

  /** Moves its NICs to a container that was made. */
  async #connect(network: ContainerNetwork, pid: number): Promise<void> {
    switch (network.kind) {
      case "none":
        return;
      case "own":
        return await this.#namespaces.find(network.namespaceId)?.assign(pid);
      case "host":
        return await this.#namespaces.find(network.namespaceId)?.setUpInPlace();
    }
  }

  #forget(id: string): void {
    const podId = this.#podOf.get(id);
    if (podId === undefined || podId === id) this.#namespaces.forgetContainer(id);
    if (podId !== undefined) this.#pods.forget(podId, id);
    this.#podOf.delete(id);
    this.#containers.delete(id);
  }

  async #modify(request: LinuxGuestRequest, containerId: string, signal: AbortSignal): Promise<void> {
    const { attached, children, log } = this.#surroundings;
    if (!isVm(containerId)) {
      this.#guard?.checkId(containerId, "container");
      return await this.#modifyContainer(this.#get(containerId), request, signal);
    }
    const runTool: RunTool = (command, parameters, toolSignal, ...descriptors) =>
      children.run(command, parameters, { stdio: ["ignore", "ignore", "pipe", ...descriptors] }, toolSignal);
    switch (request.ResourceType) {
      case "ContainerConstraints":
      case "ContainerFreezer":
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${request.ResourceType}: expected a container, not the VM`);
      case "PodCgroupMemoryLimit":
        if (request.RequestType !== "Update") {
          throw new GuestFault("ERROR_NOT_SUPPORTED", `${request.RequestType} PodCgroupMemoryLimit: expected Update`);
        }
        log.info("memory limit of all containers changed", { bytes: followMachineMemory() });
        return;
      case "SecurityPolicyFragment":
        // A fragment allows more, and this guest allows everything.
        log.info("ignored a policy fragment: this guest enforces no policy");
        return;
      case "SecurityPolicy":
        return this.#setPolicy(request);
      case "Network":
        return await this.#modifyNetwork(request, signal);
      case "MappedVirtualDisk":
      case "SCSIDevice":
      case "MappedDirectory":
      case "CombinedLayers":
      case "VPCIDevice":
        return await modifyStorage(
          request,
          { ...attached, runTool, guard: this.#guard, containers: [...this.#containers.values()] },
          signal,
        );
      default:
        request satisfies never;
    }
  }

  #setPolicy({ RequestType, Settings }: Extract<LinuxGuestRequest, { readonly ResourceType: "SecurityPolicy" }>): void {
    if (RequestType !== "Add") {
      throw new GuestFault("ERROR_NOT_SUPPORTED", `${RequestType} SecurityPolicy: expected Add`);
    }
    if (this.#policy !== undefined) {
      throw new GuestFault("E_FAIL", "Add SecurityPolicy: the guest already has a policy");
    }
    this.#denied = requireOpenPolicy(Settings);
    this.#policy = Settings;
    if (Settings.EncodedSecurityPolicy === "") return;
    this.#guard = new PolicyGuard();
    this.#surroundings.log.warning("the security policy allows everything: this guest enforces no other policy");
  }

  #requireAllowed(request: DeniedRequest, what: string): void {
    if (this.#denied.has(request)) throw new GuestFault("E_FAIL", `${what} is denied due to policy`);
  }

  async #modifyNetwork(
    { RequestType, Settings }: Extract<LinuxGuestRequest, { readonly ResourceType: "Network" }>,
    signal: AbortSignal,
  ): Promise<void> {
    switch (RequestType) {
      case "Add":
        return await this.#namespaces.getOrAdd(Settings.NamespaceID).add(Settings, signal);
      case "Remove":
        return await this.#namespaces.find(Settings.NamespaceID)?.remove(Settings.ID);
      case "PreAdd":
      case "Update":
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${RequestType} Network: expected Add or Remove`);
    }
  }

  async #modifyContainer(container: Container, request: LinuxGuestRequest, signal: AbortSignal): Promise<void> {
    const { log } = this.#surroundings;
    switch (request.ResourceType) {
      case "ContainerConstraints":
        await container.update(request.Settings.Linux, signal);
        log.info("container limits changed", { container: container.id });
        return;
      case "ContainerFreezer":
        await container.freeze(request.Settings.Frozen, signal);
        log.info(request.Settings.Frozen ? "container paused" : "container resumed", { container: container.id });
        return;
      default:
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${request.ResourceType}: expected the VM, not a container`);
    }
  }

  #get(id: string): Container {
    if (this.#creating.has(id)) {
      throw new GuestFault("HCS_E_INVALID_STATE", `container ${id} is still being created`);
    }
    const container = this.#containers.get(id);
    if (container === undefined) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    return container;
  }

  #processesOf(containerId: string): ProcessTable {
    return isVm(containerId) ? this.#vm.processes : this.#get(containerId).processes;
  }
}

function isVm(containerId: string): boolean {
  return containerId === "" || containerId === uvmContainerId;
}
