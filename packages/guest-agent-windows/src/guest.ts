/** What a Windows guest answers its host. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ContainerNotification,
  type GcsCapabilities,
  GuestFault,
  type GuestHandlers,
  type NotificationType,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import { type Children, dumpStacks, type GuestLog, runInNetwork } from "@uvm-shim/guest-agent-common";
import { checkWindowsUvmConfig, parseWithin, SchemaError, utcTimeZone } from "@uvm-shim/hcs-schema";
import { zoneFile } from "./boot/time-zone.ts";
import { listProcesses } from "./container/process-list.ts";
import { DocumentContainer } from "./hosted/container-maker.ts";
import { readContainerDocument } from "./hosted/document.ts";
import { HostedSystem } from "./hosted/hosted-system.ts";
import type { WindowsMachine } from "./hosted/machine.ts";
import { readQuery, statisticsOf } from "./hosted/properties.ts";
import { GuestNetworks } from "./network/namespaces.ts";
import { GuestPrograms } from "./process/processes.ts";
import type { DialService } from "./process/stdio-relay.ts";
import { readContainerChange } from "./requests/container-changes.ts";
import { type GuestChange, readGuestChange } from "./requests/guest-requests.ts";
import { GuestResources } from "./requests/guest-resources.ts";
import { readProcess } from "./requests/process-parameters.ts";
import type { LogForwarding } from "./services/log-forwarding.ts";
import type { GuestDisks } from "./storage/guest-disks.ts";

export const windowsCapabilities: GcsCapabilities = {
  SendHostCreateMessage: true,
  SendHostStartMessage: true,
  HvSocketConfigOnStartup: true,
  SendLifecycleNotifications: true,
  ModifyServiceSettingsSupported: true,
  SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
  RuntimeOsType: "",
  GuestDefinedCapabilities: {
    NamespaceAddRequestSupported: true,
    SignalProcessSupported: true,
    DumpStacksSupported: true,
    DeleteContainerStateSupported: true,
    UpdateContainerSupported: true,
    LogForwardingSupported: true,
    HostProcessContainerSupported: true,
  },
};

export interface GuestSurroundings {
  readonly children: Children;
  readonly machine: WindowsMachine;
  readonly disks: GuestDisks;
  readonly logs: LogForwarding;
  readonly log: GuestLog;
  readonly memoryMb: number;
  readonly processors: number;
  readonly dial: DialService;
  /** Dropped while there is no bridge. */
  notify(notification: ContainerNotification): void;
  /** Turns the power off after the current answer has been sent. */
  powerOff(): void;
}

interface Hosted {
  readonly system: HostedSystem;
  readonly maker: DocumentContainer;
  /** Where its layers are combined, as the host names it. */
  readonly root: string;
  startedAt: Date | undefined;
}

const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const configBounds = { length: 64 * 1024, depth: 8, keys: 1024, elements: 1024 };

export class WindowsGuest {
  readonly handlers: GuestHandlers;
  readonly #surroundings: GuestSurroundings;
  readonly #resources = new GuestResources();
  readonly #networks: GuestNetworks;
  readonly #programs = new GuestPrograms();
  readonly #containers = new Map<string, Hosted>();
  #machineState: "new" | "created" | "started" = "new";
  #localTime = zoneFile(utcTimeZone);
  #changes: Promise<unknown> = Promise.resolve();

  constructor(surroundings: GuestSurroundings) {
    this.#surroundings = surroundings;
    this.#networks = new GuestNetworks(runInNetwork(surroundings.children));
    surroundings.machine.useFiles((folder) => this.#machineFiles(folder));
    const done = {};
    this.handlers = {
      create: async ({ ContainerConfig }, { containerId }) => {
        if (isMachine(containerId)) this.#createMachine(ContainerConfig);
        else this.#create(containerId, ContainerConfig);
        return done;
      },
      start: async (_, { containerId }) => {
        if (isMachine(containerId)) this.#startMachine();
        else await this.#start(containerId);
        return done;
      },
      executeProcess: async ({ Settings }, { containerId, signal }) => {
        if (Object.keys(Settings.VsockStdioRelaySettings ?? {}).length > 0) {
          throw new SchemaError("Settings.VsockStdioRelaySettings", "unknown field");
        }
        const start = readProcess(Settings.ProcessParameters);
        const services = Settings.StdioRelaySettings ?? {};
        const { dial, machine } = surroundings;
        const ProcessId = isMachine(containerId)
          ? await this.#programs.execute(await machine.windows(), start, services, dial, signal)
          : await this.#get(containerId).system.execute(start, services, dial, signal);
        return { ProcessId };
      },
      waitForProcess: async ({ ProcessId, TimeoutInMs }, { containerId, signal }) => ({
        ExitCode: await this.#programsOf(containerId).wait(ProcessId, TimeoutInMs, signal),
      }),
      signalProcess: async ({ ProcessId, Options }, { containerId }) => {
        const programs = this.#programsOf(containerId);
        if (Options === undefined) await programs.terminate(ProcessId);
        else if (typeof Options.Signal === "string") await programs.raise(ProcessId, Options.Signal);
        else throw new SchemaError("Options.Signal", "expected the name of an event");
        return done;
      },
      resizeConsole: async ({ ProcessId, Height, Width }, { containerId }) => {
        await this.#programsOf(containerId).resize(ProcessId, Width, Height);
        return done;
      },
      getProperties: async ({ Query }, { containerId }) => ({ Properties: await this.#properties(containerId, Query) }),
      modifySettings: async ({ Request }, { containerId, signal }) => {
        const { ResourcePath, ResourceType, RequestType, Settings } = Request;
        if (isMachine(containerId)) {
          const change = readGuestChange(ResourceType ?? "", RequestType, Settings);
          await this.#inTurn(() => this.#change(change, signal));
        } else this.#changeContainer(this.#get(containerId), ResourcePath ?? "", RequestType, Settings);
        return done;
      },
      modifyServiceSettings: async ({ Settings }, { signal }) => {
        await surroundings.logs.change(Settings, signal);
        return done;
      },
      dumpStacks: async () => ({ GuestStacks: dumpStacks() }),
      shutdownGraceful: async (_, { containerId }) => {
        if (isMachine(containerId)) surroundings.powerOff();
        else this.#get(containerId).system.shutdown();
        return done;
      },
      shutdownForced: async (_, { containerId }) => {
        if (isMachine(containerId)) surroundings.powerOff();
        else await this.#get(containerId).system.terminate();
        return done;
      },
      deleteContainerState: async (_, { containerId }) => {
        await this.#get(containerId).system.delete();
        this.#containers.delete(containerId);
        return done;
      },
    };
  }

  #createMachine(config: string): void {
    if (this.#machineState !== "new") {
      throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", "the virtual machine itself was created before");
    }
    const { TimeZoneInformation } = checkWindowsUvmConfig(parseWithin(config, configBounds, "ContainerConfig"));
    this.#localTime = zoneFile(TimeZoneInformation);
    this.#machineState = "created";
  }

  #startMachine(): void {
    if (this.#machineState !== "created") {
      throw new GuestFault("HCS_E_INVALID_STATE", `the virtual machine itself is ${this.#machineState}, not created`);
    }
    this.#machineState = "started";
  }

  #create(id: string, config: string): void {
    if (!idPattern.test(id)) {
      const shown = JSON.stringify(id.slice(0, 128));
      throw new GuestFault("E_INVALIDARG", `invalid ContainerId ${shown}: expected ${idPattern}`);
    }
    if (this.#machineState !== "started") {
      throw new GuestFault("HCS_E_INVALID_STATE", "containers are created once the virtual machine itself has started");
    }
    const known = this.#containers.get(id);
    if (known !== undefined) throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", `container ${id} already exists`);
    const document = readContainerDocument(config);
    const root = document.Storage?.Path ?? "";
    const lun = this.#resources.combinedDisk(root);
    if (this.#isInUse(root))
      throw new GuestFault("ERROR_SHARING_VIOLATION", `Container.Storage.Path: ${root} is in use`);
    const { disks, machine, memoryMb, processors } = this.#surroundings;
    const maker = new DocumentContainer(id, document, {
      ...{ machine, networks: this.#networks, memoryMb, processors },
      localTime: this.#localTime,
      root: disks.combinedAt(lun),
      device: disks.deviceOf(lun),
    });
    const system = new HostedSystem(id, document, maker, {
      notify: (type) => this.#notify(id, type),
      onError: (error) =>
        this.#log("error", "something of a container is left", { container: id, error: String(error) }),
    });
    this.#containers.set(id, { system, maker, root, startedAt: undefined });
    this.#log("info", "container created", { container: id });
  }

  async #start(id: string): Promise<void> {
    const hosted = this.#get(id);
    await hosted.system.start();
    hosted.startedAt = new Date();
    this.#log("info", "container started", { container: id });
  }

  async #properties(containerId: string, query: string): Promise<string> {
    const types = readQuery(query);
    if (isMachine(containerId)) {
      throw new GuestFault("ERROR_NOT_SUPPORTED", "the virtual machine itself has no properties: expected a container");
    }
    const { system, maker, startedAt } = this.#get(containerId);
    const properties: { SystemGUID?: string; Statistics?: unknown; ProcessList?: unknown } = {};
    if (types.includes("SystemGUID")) properties.SystemGUID = system.systemGuid;
    // The others are only of a container that runs.
    if (types.includes("ProcessList")) properties.ProcessList = await listProcesses(system.container);
    if (types.includes("Statistics")) {
      void system.container;
      if (maker.groups !== undefined && startedAt !== undefined) {
        properties.Statistics = statisticsOf(maker.groups, startedAt, new Date());
      }
    }
    return JSON.stringify(properties);
  }

  async #change(change: GuestChange, signal: AbortSignal): Promise<void> {
    this.#resources.check(change);
    const { disks } = this.#surroundings;
    switch (change.type) {
      case "MappedVirtualDisk": {
        const { ContainerPath, Lun } = change.settings;
        if (change.verb === "Add") await disks.mount(Lun, ContainerPath, signal);
        else disks.unmount(Lun, ContainerPath);
        break;
      }
      case "MappedDirectory":
        disks.mapDirectory(change.settings);
        break;
      case "CombinedLayers": {
        const { ContainerRootPath } = change.settings;
        const lun = this.#resources.diskAt(ContainerRootPath);
        if (change.verb === "Add") {
          disks.combine(
            lun,
            ContainerRootPath,
            change.settings.Layers.map(({ Path }) => Path),
          );
        } else {
          if (this.#isInUse(ContainerRootPath)) {
            throw new GuestFault("ERROR_SHARING_VIOLATION", `${ContainerRootPath}: a container runs on these layers`);
          }
          disks.separate(lun, ContainerRootPath);
        }
        break;
      }
      case "NetworkNamespace":
        if (change.verb === "Add") await this.#networks.add(change.settings.ID);
        else this.#networks.remove(change.settings.ID);
        break;
      case "Network": {
        const { AdapterId, RequestType, Settings } = change.settings;
        if (RequestType === "PreAdd" && Settings !== undefined) this.#networks.announce(AdapterId, Settings);
        else if (RequestType === "Add") await this.#networks.connect(AdapterId, signal);
        else if (RequestType === "Remove") this.#networks.forget(AdapterId);
        break;
      }
      case "HvSocket":
        break;
    }
    this.#resources.record(change);
  }

  #changeContainer({ system, maker }: Hosted, resource: string, verb: string, settings: unknown): void {
    const change = readContainerChange(resource, verb, settings);
    const { container } = system;
    if (change.kind === "limits") maker.limit(change.limits);
    else maker.map(container, change.mapped, "Request.Settings");
  }

  #isInUse(root: string): boolean {
    return [...this.#containers.values()].some(
      (hosted) => !hosted.system.hasEnded && hosted.root.toLowerCase() === root.toLowerCase(),
    );
  }

  /** Changes follow each other, as each is checked against those before it. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#changes.then(change);
    this.#changes = turn.catch(() => {});
    return turn;
  }

  #machineFiles(folder: string): string {
    const files = join(folder, "files");
    mkdirSync(files);
    writeFileSync(join(files, "localtime"), this.#localTime);
    return files;
  }

  #get(id: string): Hosted {
    const hosted = this.#containers.get(id);
    if (hosted === undefined) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    return hosted;
  }

  #programsOf(containerId: string): GuestPrograms {
    return isMachine(containerId) ? this.#programs : this.#get(containerId).system.programs;
  }

  #notify(containerId: string, type: NotificationType): void {
    this.#log("info", "container has ended", { container: containerId, type });
    this.#surroundings.notify({ containerId, activityId: uvmContainerId, type, operation: "None", result: 0 });
  }

  #log(level: "info" | "error", message: string, fields: { readonly [name: string]: string }): void {
    this.#surroundings.log[level](message, fields);
    this.#surroundings.logs.write(level, message, fields);
  }
}

function isMachine(containerId: string): boolean {
  return containerId === "" || containerId === uvmContainerId;
}
