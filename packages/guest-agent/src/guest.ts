/** The guest as the host sees it over the GCS bridge: containers, processes, storage and power. */
import { existsSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import {
  type ContainerNotification,
  type GcsCapabilities,
  GuestFault,
  type GuestHandlers,
  infiniteTimeout,
  type NotificationType,
  type RequestContext,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import type { LinuxGuestRequest, LinuxProcessParameters, OciSpec, SecurityPolicy } from "@uvm-shim/hcs-schema";
import { setHostName } from "@uvm-shim/linux-calls";
import { applyAnnotations } from "./annotations.ts";
import { followMachineMemory, metricsOf, processesOf, removeCgroups, shareDevices } from "./cgroups.ts";
import type { Children } from "./children.ts";
import { Container } from "./container.ts";
import { grantDevices } from "./container-devices.ts";
import { podPlaces, withGuestMounts } from "./container-mounts.ts";
import type { GuestDevices } from "./devices.ts";
import type { GuestFacts } from "./facts.ts";
import { guestFolders } from "./guest-folders.ts";
import type { GuestLog } from "./log.ts";
import { GuestNetwork } from "./network.ts";
import { readContainerSettings, readProcessParameters, readPropertyTypes } from "./parameters.ts";
import { withPodFiles } from "./pod-files.ts";
import { GuestProcess, ProcessTable } from "./process.ts";
import { readGuestRequest } from "./resources.ts";
import type { OciRuntime } from "./runtime.ts";
import { withSecurityContext } from "./security-context.ts";
import { requireOpenPolicy } from "./security-policy.ts";
import { type GuestSpecification, rewriteSpecification } from "./specification.ts";
import { dumpStacks } from "./stacks.ts";
import { type DialPort, StdioRelay } from "./stdio-relay.ts";
import { modifyStorage, type RunTool } from "./storage.ts";

const sigterm = 15;
const sigkill = 9;

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

export interface GuestSurroundings {
  readonly children: Children;
  readonly runtime: OciRuntime;
  readonly facts: GuestFacts;
  readonly devices: GuestDevices;
  readonly log: GuestLog;
  readonly dial: DialPort;
  /** Tells the host of a change; dropped while there is no bridge. */
  notify(notification: ContainerNotification): void;
  /** Takes the power away, once what is answered now has been sent. */
  powerOff(): void;
}

const containerTypeKey = "io.kubernetes.cri.container-type";
/** Ids name cgroups and files of the guest. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

export class Guest {
  readonly handlers: GuestHandlers;
  readonly #surroundings: GuestSurroundings;
  readonly #containers = new Map<string, Container>();
  /** Processes of the VM itself. */
  readonly #processes = new ProcessTable();
  readonly #network = new GuestNetwork();
  readonly #places = podPlaces();
  /** Name of the pod: that of its first container which has one. */
  #hostname: string | undefined;
  #policy: SecurityPolicy | undefined;

  constructor(surroundings: GuestSurroundings) {
    this.#surroundings = surroundings;
    const done = {};
    this.handlers = {
      create: async ({ ContainerConfig }, { containerId }) => {
        if (!isVm(containerId)) this.#create(containerId, ContainerConfig);
        return done;
      },
      // The container's first process starts it: until then there is nothing that could run.
      start: async (_, { containerId }) => {
        if (!isVm(containerId)) this.#get(containerId);
        return done;
      },
      executeProcess: async ({ Settings }, context) => {
        const parameters = readProcessParameters(Settings.ProcessParameters);
        const container = isVm(context.containerId) ? undefined : this.#get(context.containerId);
        const ports = Settings.VsockStdioRelaySettings ?? {};
        const relay = await StdioRelay.connect(parameters, ports, surroundings.dial, context.signal);
        try {
          const process =
            container === undefined
              ? await this.#executeInVm(parameters, relay)
              : await container.execute(parameters, relay, context.signal);
          return { ProcessId: process.pid };
        } catch (error) {
          relay.close();
          throw error;
        }
      },
      waitForProcess: async ({ ProcessId, TimeoutInMs }, context) => {
        const process = this.#processesOf(context.containerId).get(ProcessId);
        const ExitCode = await within(TimeoutInMs, process, context);
        // What follows from an exit that was told comes after the answer.
        setImmediate(() => process.hasAnswered());
        return { ExitCode };
      },
      signalProcess: async ({ ProcessId, Options }, { containerId }) => {
        const signal = Options === undefined || Options.Signal === 0 ? sigkill : Options.Signal;
        if (isVm(containerId)) this.#processes.get(ProcessId).signal(signal);
        else this.#get(containerId).signal(ProcessId, signal);
        return done;
      },
      resizeConsole: async ({ ProcessId, Height, Width }, { containerId }) => {
        this.#processesOf(containerId).get(ProcessId).resize(Height, Width);
        return done;
      },
      getProperties: async ({ Query }, { containerId }) => {
        const container = isVm(containerId) ? undefined : this.#get(containerId);
        const wanted = readPropertyTypes(Query);
        const pids = wanted.includes("ProcessList") ? container?.processIds() : undefined;
        const metrics = wanted.includes("Statistics") ? container?.metrics() : undefined;
        return {
          Properties: JSON.stringify({ ProcessList: pids?.map((pid) => ({ ProcessId: pid })), ...metrics }),
        };
      },
      modifySettings: async ({ Request }, { containerId, signal }) => {
        await this.#modify(readGuestRequest(Request), containerId, signal);
        return done;
      },
      dumpStacks: async () => ({ GuestStacks: dumpStacks() }),
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
        await this.#get(containerId).delete();
        this.#containers.delete(containerId);
        return done;
      },
    };
  }

  #podFiles({ spec, sharedHostname }: GuestSpecification, bundle: string): OciSpec {
    const name = sharedHostname ?? spec.hostname;
    if (name !== undefined && name !== "") {
      this.#hostname ??= name;
      // Containers without a namespace of their own for names have the guest's.
      if (spec.annotations?.[containerTypeKey] === "sandbox") setHostName(name);
    }
    // Also without a NIC, which may come later.
    writeFileSync(guestFolders.resolvConf, "", { flag: "a" });
    return withPodFiles(spec, bundle, {
      hostname: this.#hostname ?? hostname(),
      addresses: this.#network.addresses,
    });
  }

  #create(id: string, configuration: string): void {
    if (!idPattern.test(id)) {
      throw new GuestFault(
        "E_INVALIDARG",
        `ContainerId is ${JSON.stringify(id.slice(0, 128))}, accepted is ${idPattern}`,
      );
    }
    if (this.#containers.has(id)) {
      throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", `container ${id} exists already`);
    }
    const { devices, facts, log, notify, runtime } = this.#surroundings;
    const settings = readContainerSettings(configuration);
    const { OciBundlePath: bundle } = settings;
    const { spec, outputCopy } = applyAnnotations(settings.OciSpecification, this.#places);
    const granted = withGuestMounts(grantDevices(spec, devices), this.#places, devices);
    const rewritten = rewriteSpecification(id, granted, facts);
    const named = this.#podFiles(rewritten, bundle);
    const specification = { ...rewritten, spec: withSecurityContext(named, id, bundle, this.#policy), outputCopy };
    if (specification.sharedHostname !== undefined) setHostName(specification.sharedHostname);
    shareDevices();
    const tell = (type: NotificationType): void =>
      notify({ containerId: id, activityId: uvmContainerId, type, operation: "None", result: 0 });
    const container = new Container(id, { bundle, scratch: settings.ScratchDirPath }, specification, {
      runtime,
      facts,
      group: {
        processes: () => processesOf(id),
        metrics: () => metricsOf(id),
        remove: () => removeCgroups(id),
      },
      applySettings,
      onExit: (type) => {
        log.info("container has ended", { container: id, type });
        tell(type);
      },
      onError: (what, error) => log.error(what, { container: id, error: String(error) }),
    });
    this.#containers.set(id, container);
    log.info("container created", { container: id });
  }

  async #modify(request: LinuxGuestRequest, containerId: string, signal: AbortSignal): Promise<void> {
    const { children, log } = this.#surroundings;
    if (!isVm(containerId)) return await this.#modifyContainer(this.#get(containerId), request, signal);
    const runTool: RunTool = (command, parameters, toolSignal) =>
      children.run(command, parameters, { stdio: ["ignore", "ignore", "pipe"] }, toolSignal);
    switch (request.ResourceType) {
      case "ContainerConstraints":
      case "ContainerFreezer":
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${request.ResourceType} is of a container, not of the VM`);
      case "PodCgroupMemoryLimit":
        if (request.RequestType !== "Update") {
          throw new GuestFault(
            "ERROR_NOT_SUPPORTED",
            `${request.RequestType} PodCgroupMemoryLimit: accepted is Update`,
          );
        }
        log.info("memory of the containers follows the VM's", { bytes: followMachineMemory() });
        return;
      case "SecurityPolicyFragment":
        // A fragment adds to what a policy allows; this guest allows everything already.
        log.info("policy fragment received, this guest enforces no policy");
        return;
      case "SecurityPolicy":
        return this.#setPolicy(request);
      case "Network":
        return await this.#modifyNetwork(request, runTool, signal);
      case "MappedVirtualDisk":
      case "SCSIDevice":
      case "MappedDirectory":
      case "CombinedLayers":
      case "VPCIDevice":
        return await modifyStorage(request, runTool, signal);
    }
  }

  #setPolicy({ RequestType, Settings }: Extract<LinuxGuestRequest, { readonly ResourceType: "SecurityPolicy" }>): void {
    if (RequestType !== "Add") {
      throw new GuestFault("ERROR_NOT_SUPPORTED", `${RequestType} SecurityPolicy: accepted is Add`);
    }
    if (this.#policy !== undefined) {
      throw new GuestFault("ERROR_ALREADY_EXISTS", "Add SecurityPolicy: the guest has its policy already");
    }
    requireOpenPolicy(Settings);
    this.#policy = Settings;
    this.#surroundings.log.warning("the security policy allows everything, and this guest would enforce nothing else");
  }

  async #modifyNetwork(
    { RequestType, Settings }: Extract<LinuxGuestRequest, { readonly ResourceType: "Network" }>,
    runTool: RunTool,
    signal: AbortSignal,
  ): Promise<void> {
    switch (RequestType) {
      case "Add":
        return await this.#network.add(Settings, runTool, signal);
      case "Remove":
        return await this.#network.remove(Settings.ID, runTool);
      case "PreAdd":
      case "Update":
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${RequestType} Network: accepted are Add and Remove`);
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
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${request.ResourceType} is of the VM, not of a container`);
    }
  }

  /** Starts a program of the guest itself, outside of every container. */
  async #executeInVm(parameters: LinuxProcessParameters, relay: StdioRelay): Promise<GuestProcess> {
    const [command, ...rest] = parameters.CommandArgs ?? [];
    if (command === undefined || command === "") {
      throw new GuestFault("E_INVALIDARG", "ProcessParameters.CommandArgs is empty, expected a command of the guest");
    }
    if (parameters.EmulateConsole) {
      throw new GuestFault(
        "ERROR_NOT_SUPPORTED",
        "ProcessParameters.EmulateConsole: processes of the VM itself have no terminal",
      );
    }
    const { WorkingDirectory: directory, Environment: environment } = parameters;
    const { pid, exit } = await this.#surroundings.children.start(command, rest, {
      stdio: [...relay.handOver()],
      ...(directory === undefined || directory === "" ? {} : { cwd: directory }),
      ...(environment === undefined ? {} : { env: environment }),
    });
    relay.close();
    const process = new GuestProcess(pid, exit, relay);
    this.#processes.add(process);
    return process;
  }

  #get(id: string): Container {
    const container = this.#containers.get(id);
    if (container === undefined) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    return container;
  }

  #processesOf(containerId: string): ProcessTable {
    return isVm(containerId) ? this.#processes : this.#get(containerId).processes;
  }
}

function isVm(containerId: string): boolean {
  return containerId === "" || containerId === uvmContainerId;
}

function applySettings(settings: ReadonlyMap<string, string>): void {
  for (const [name, value] of settings) {
    // Interface names, which may hold dots, are written with slashes in sysctl's other notation.
    const path = name.includes("/") ? name : name.replaceAll(".", "/");
    const field = `OciSpecification.linux.sysctl.${name}`;
    if (path.includes("..") || !existsSync(`/proc/sys/${path}`)) {
      throw new GuestFault("E_INVALIDARG", `${field}: the guest's kernel has no such setting`);
    }
    try {
      writeFileSync(`/proc/sys/${path}`, value);
    } catch (cause) {
      const { message } = cause as Error;
      throw new GuestFault(
        "E_INVALIDARG",
        `${field} is ${JSON.stringify(value)}, which the guest's kernel refuses: ${message}`,
        { cause },
      );
    }
  }
}

async function within(timeoutMs: number, process: GuestProcess, { signal }: RequestContext): Promise<number> {
  if (timeoutMs === infiniteTimeout) return await process.reported;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new GuestFault("HCS_E_OPERATION_TIMEOUT", `process ${process.pid} has not ended within ${timeoutMs} ms`),
        ),
      timeoutMs,
    );
    signal.addEventListener("abort", () => reject(signal.reason));
  });
  try {
    return await Promise.race([process.reported, late]);
  } finally {
    clearTimeout(timer);
  }
}
