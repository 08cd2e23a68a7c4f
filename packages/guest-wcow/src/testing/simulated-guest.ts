/** A fake Windows guest that remembers what it was asked, and keeps to the contract of a Windows guest. */
import {
  type ContainerNotification,
  GuestFault,
  type GuestHandlers,
  infiniteTimeout,
  type NotificationType,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import {
  checkHostedSystem,
  checkLogForwardSettings,
  checkWindowsGuestRequest,
  checkWindowsProcessParameters,
  parseWithin,
  windowsGcsHostAddress,
} from "@uvm-shim/hcs-schema";
import { FakeWindowsGuest } from "./fake-guest.ts";
import { ProgramTable } from "./simulated-programs.ts";

const bounds = { length: 1024 * 1024, depth: 32, keys: 10_000, elements: 10_000 };
const properties = ["Statistics", "ProcessList", "SystemGUID"];

interface Container {
  state: "created" | "running" | "ended";
  readonly root: string;
  readonly programs: ProgramTable;
}

/**
 * A guest in memory that keeps containers, processes and resources, and passes the contract of Windows guests. Of
 * programs it knows `cmd /c` with the few commands that the contract uses.
 */
export class SimulatedWindowsGuest extends FakeWindowsGuest {
  constructor() {
    // The handlers need the guest, which exists only once its base does.
    const late: { guest?: SimulatedWindowsGuest } = {};
    const guest = (): SimulatedWindowsGuest => late.guest as SimulatedWindowsGuest;
    super(
      simulate(
        (service) => guest().dialService(service),
        (notification) => guest().server.notify(notification),
      ),
    );
    late.guest = this;
  }
}

function simulate(
  dial: (service: string | undefined) => NodeJS.WritableStream,
  notify: (notification: ContainerNotification) => void,
): GuestHandlers {
  const containers = new Map<string, Container>();
  const machine = new ProgramTable(dial);
  const resources = new Resources();
  const get = (id: string): Container => {
    const container = containers.get(id);
    if (container === undefined) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    return container;
  };
  const running = (id: string): Container => {
    const container = get(id);
    if (container.state === "running") return container;
    const result = container.state === "ended" ? "HCS_E_SYSTEM_ALREADY_STOPPED" : "HCS_E_INVALID_STATE";
    throw new GuestFault(result, `container ${id} is ${container.state}`);
  };
  const programsOf = (id: string): ProgramTable => (id === uvmContainerId ? machine : get(id).programs);
  const end = (id: string, container: Container, type: NotificationType): void => {
    container.state = "ended";
    notify({ containerId: id, activityId: uvmContainerId, type, operation: "None", result: 0 });
  };
  const done = {};
  return {
    create: async ({ ContainerConfig }, { containerId }) => {
      if (containerId === uvmContainerId) return done;
      const { Container } = checkHostedSystem(parseWithin(ContainerConfig, bounds));
      if (containers.has(containerId)) throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", "it exists");
      const root = Container?.Storage?.Path ?? "";
      resources.requireLayers(root);
      containers.set(containerId, { state: "created", root, programs: new ProgramTable(dial) });
      return done;
    },
    start: async (_, { containerId }) => {
      if (containerId !== uvmContainerId) get(containerId).state = "running";
      return done;
    },
    executeProcess: async ({ Settings }, { containerId }) => {
      const parameters = checkWindowsProcessParameters(parseWithin(Settings.ProcessParameters, bounds));
      const programs = containerId === uvmContainerId ? machine : running(containerId).programs;
      return { ProcessId: programs.start(parameters, Settings.StdioRelaySettings ?? {}) };
    },
    waitForProcess: async ({ ProcessId, TimeoutInMs }, { containerId }) => {
      if (TimeoutInMs !== infiniteTimeout) throw new GuestFault("HCS_E_CONNECTION_TIMEOUT", "it has not ended");
      return { ExitCode: await programsOf(containerId).get(ProcessId).exit };
    },
    signalProcess: async ({ ProcessId, Options }, { containerId }) => {
      const program = programsOf(containerId).running(ProcessId);
      program.end(Options === undefined ? 1 : 0xc000013a);
      await program.exit;
      return done;
    },
    resizeConsole: async ({ ProcessId }, { containerId }) => {
      programsOf(containerId).running(ProcessId);
      return done;
    },
    getProperties: async ({ Query }, { containerId }) => {
      if (containerId === uvmContainerId) throw new GuestFault("ERROR_NOT_SUPPORTED", "the machine has no properties");
      const { programs } = get(containerId);
      const asked = (parseWithin(Query, bounds) as { PropertyTypes: readonly string[] }).PropertyTypes;
      const unknown = asked.find((type) => !properties.includes(type));
      if (unknown !== undefined) throw new GuestFault("ERROR_NOT_SUPPORTED", `there is no property ${unknown}`);
      const answer = {
        SystemGUID: windowsGcsHostAddress,
        ProcessList: programs.list(),
        Statistics: { Uptime100ns: 1, Processor: { TotalRuntime100ns: 1 }, Memory: { MemoryUsageCommitBytes: 1 } },
      };
      return { Properties: JSON.stringify(answer) };
    },
    modifySettings: async ({ Request }, { containerId }) => {
      if (containerId !== uvmContainerId) {
        running(containerId);
        return done;
      }
      const isInUse = (root: string): boolean =>
        [...containers.values()].some((container) => container.state !== "ended" && container.root === root);
      resources.change(checkWindowsGuestRequest(Request), isInUse);
      return done;
    },
    shutdownGraceful: async (_, { containerId }) => {
      const container = running(containerId);
      void container.programs.endAll(0).then(() => end(containerId, container, "GracefulExit"));
      return done;
    },
    shutdownForced: async (_, { containerId }) => {
      const container = running(containerId);
      void container.programs.endAll(0xc000013a).then(() => end(containerId, container, "ForcedExit"));
      return done;
    },
    deleteContainerState: async (_, { containerId }) => {
      if (get(containerId).state === "running") throw new GuestFault("HCS_E_INVALID_STATE", "it runs");
      containers.delete(containerId);
      return done;
    },
    modifyServiceSettings: async ({ Settings }) => {
      checkLogForwardSettings(Settings);
      return done;
    },
  };
}

/** What must be there before something else can be. */
class Resources {
  readonly #disks = new Set<string>();
  readonly #roots = new Set<string>();
  readonly #adapters = new Set<string>();

  requireLayers(root: string): void {
    if (!this.#roots.has(root)) throw new GuestFault("ERROR_PATH_NOT_FOUND", `${root}: no layers are combined there`);
  }

  change(request: ReturnType<typeof checkWindowsGuestRequest>, isInUse: (root: string) => boolean): void {
    const isAddition = request.RequestType === "Add";
    switch (request.ResourceType) {
      case "MappedVirtualDisk": {
        const { ContainerPath } = request.Settings;
        if (isAddition) this.#disks.add(ContainerPath);
        else if (!this.#disks.delete(ContainerPath)) throw new GuestFault("ERROR_NOT_FOUND", ContainerPath);
        return;
      }
      case "CombinedLayers": {
        const { ContainerRootPath: root, FilterType } = request.Settings;
        if (FilterType !== undefined) throw new GuestFault("HCS_E_INVALID_JSON", "FilterType: unknown field");
        if (isAddition && !this.#disks.has(root)) throw new GuestFault("ERROR_PATH_NOT_FOUND", root);
        if (!isAddition && isInUse(root)) throw new GuestFault("ERROR_SHARING_VIOLATION", root);
        if (isAddition) this.#roots.add(root);
        else this.#roots.delete(root);
        return;
      }
      case "Network": {
        const { AdapterId, RequestType } = request.Settings;
        if (RequestType === "PreAdd") this.#adapters.add(AdapterId);
        else if (!this.#adapters.has(AdapterId)) throw new GuestFault("ERROR_NOT_FOUND", AdapterId);
        return;
      }
      default:
    }
  }
}
