import { duplexPair } from "node:stream";
import { GcsBridgeServer, GuestFault, type GuestHandlers, type Procedure, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { capabilities as common } from "@uvm-shim/gcs-bridge/testing";
import type { FakeSystem } from "@uvm-shim/hcs-bindings/testing";
import {
  checkWindowsGuestRequest,
  checkWindowsProcessParameters,
  checkWindowsUvmConfig,
  type WindowsGuestRequest,
  windowsHvsocketServices,
} from "@uvm-shim/hcs-schema";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";

const capabilities = { ...common, SendHostCreateMessage: true, SendHostStartMessage: true, RuntimeOsType: "Windows" };
const activityId = "11111111-2222-3333-4444-555555555555";
const systemGuid = "6bd9d2c7-0000-4000-8000-000000000001";
const endedByConsole = 0xc000013a;
const terminated = 0xffffffff;

interface Process {
  readonly exit: Promise<number>;
  end(code: number): void;
}

interface Container {
  readonly processes: Map<number, Process>;
  state: "created" | "running" | "stopped";
}

/**
 * A Windows guest behind the real protocol, as strict as one: every request of the host is a call of the script. Its
 * containers go on when their processes have ended.
 */
export class WindowsStackGuest {
  readonly containers = new Map<string, Container>();
  /** Paths at which a disk is mounted or layers are combined. */
  readonly mounted = new Set<string>();
  readonly #script: ScriptedCalls;
  readonly #system: FakeSystem;
  readonly #server: GcsBridgeServer | undefined;
  /** Programs of the VM itself. */
  readonly #machine: Container = { processes: new Map(), state: "running" };
  #nextPid = 100;

  /** Dials what guests dial when they boot. */
  constructor(script: ScriptedCalls, system: FakeSystem) {
    this.#script = script;
    this.#system = system;
    system
      .dial(windowsHvsocketServices.log)
      ?.on("error", () => {})
      .resume();
    const bridge = system.dial(windowsHvsocketServices.gcs);
    if (bridge !== undefined) this.#server = new GcsBridgeServer(bridge, this.#handlers(), { capabilities });
  }

  leftovers(): readonly string[] {
    // What a VM that has ended had is gone with it.
    if (this.#system.exit !== undefined) return [];
    return [
      ...[...this.mounted].map((path) => `mount ${path}`),
      ...[...this.containers.keys()].map((id) => `container ${id} in the guest`),
    ];
  }

  #handlers(): GuestHandlers {
    const done = {};
    const scripted = <T>(procedure: Procedure, detail: string, effect: () => T): Promise<T> =>
      this.#script.run(procedure, detail, undefined, effect);
    return {
      create: ({ ContainerConfig }, { containerId }) =>
        scripted("create", containerId, () => {
          const config: unknown = JSON.parse(ContainerConfig);
          if (containerId === uvmContainerId) checkWindowsUvmConfig(config);
          else this.#create(containerId, config as { readonly Container: { readonly Storage: { Path: string } } });
          return done;
        }),
      start: (_, { containerId }) =>
        scripted("start", containerId, () => {
          if (containerId === uvmContainerId) return done;
          const container = this.#get(containerId);
          if (container.state !== "created") throw new GuestFault("HCS_E_INVALID_STATE", container.state);
          container.state = "running";
          return done;
        }),
      executeProcess: ({ Settings }, { containerId }) =>
        scripted("executeProcess", containerId, () => {
          checkWindowsProcessParameters(JSON.parse(Settings.ProcessParameters));
          const container = this.#get(containerId);
          if (container.state !== "running") throw new GuestFault("HCS_E_INVALID_STATE", container.state);
          const pid = this.#nextPid++;
          const exit = Promise.withResolvers<number>();
          const { StdIn, StdOut, StdErr } = Settings.StdioRelaySettings ?? {};
          const streams = [StdIn, StdOut, StdErr].flatMap((service) =>
            service === undefined ? [] : [this.#dial(service)],
          );
          const end = (code: number): void => {
            for (const stream of streams) stream.end();
            exit.resolve(code);
          };
          container.processes.set(pid, { exit: exit.promise, end });
          return { ProcessId: pid };
        }),
      waitForProcess: async ({ ProcessId }, { containerId }) => {
        const process = await scripted("waitForProcess", containerId, () => this.#process(containerId, ProcessId));
        return { ExitCode: await process.exit };
      },
      signalProcess: ({ ProcessId, Options }, { containerId }) =>
        scripted("signalProcess", containerId, () => {
          this.#process(containerId, ProcessId).end(Options?.Signal === undefined ? terminated : endedByConsole);
          return done;
        }),
      shutdownGraceful: (_, { containerId }) =>
        scripted("shutdownGraceful", containerId, () => {
          if (this.#get(containerId).state === "created") throw new GuestFault("HCS_E_INVALID_STATE", "created");
          this.#end(containerId, "GracefulExit", endedByConsole);
          return done;
        }),
      shutdownForced: (_, { containerId }) =>
        scripted("shutdownForced", containerId, () => {
          this.#end(containerId, "ForcedExit", terminated);
          return done;
        }),
      dumpStacks: () => scripted("dumpStacks", "", () => ({ GuestStacks: "main: waits" })),
      deleteContainerState: (_, { containerId }) =>
        scripted("deleteContainerState", containerId, () => {
          if (this.#get(containerId).state !== "stopped") throw new GuestFault("HCS_E_INVALID_STATE", "not stopped");
          this.containers.delete(containerId);
          return done;
        }),
      getProperties: (_, { containerId }) =>
        scripted("getProperties", containerId, () => {
          const ProcessList = [...this.#get(containerId).processes.keys()].map((ProcessId) => ({ ProcessId }));
          return { Properties: JSON.stringify({ SystemGUID: systemGuid, Statistics: {}, ProcessList }) };
        }),
      modifySettings: ({ Request }, { containerId }) => {
        const { RequestType, ...rest } = Request as { readonly RequestType: string; readonly [field: string]: unknown };
        const subject = rest.ResourceType ?? rest.ResourcePath;
        return scripted("modifySettings", `${RequestType} ${String(subject)}`, () => {
          if (containerId === uvmContainerId) this.#modify(checkWindowsGuestRequest(Request));
          else this.#get(containerId);
          return done;
        });
      },
    };
  }

  #create(
    id: string,
    { Container: { Storage } }: { readonly Container: { readonly Storage: { Path: string } } },
  ): void {
    if (this.containers.has(id)) throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", id);
    if (!this.mounted.has(combinationAt(Storage.Path))) throw new GuestFault("ERROR_NOT_FOUND", "no layers there");
    this.containers.set(id, { processes: new Map(), state: "created" });
  }

  #end(containerId: string, type: "GracefulExit" | "ForcedExit", code: number): void {
    const container = this.#get(containerId);
    if (container.state === "stopped") throw new GuestFault("HCS_E_SYSTEM_ALREADY_STOPPED", containerId);
    container.state = "stopped";
    for (const process of container.processes.values()) process.end(code);
    this.#server?.notify({ containerId, activityId, type, operation: "None", result: 0 });
  }

  #modify(request: WindowsGuestRequest): void {
    const path = pathOf(request);
    if (path === undefined) return;
    if (request.RequestType === "Add") {
      if (this.mounted.has(path)) throw new GuestFault("ERROR_ALREADY_EXISTS", `${path} is in use`);
      this.mounted.add(path);
    } else if (!this.mounted.delete(path)) throw new GuestFault("ERROR_NOT_FOUND", `there is nothing at ${path}`);
  }

  #dial(service: string) {
    const stream = this.#system.dial(service) ?? duplexPair()[0];
    return stream.on("error", () => {}).resume();
  }

  #get(id: string): Container {
    const container = id === uvmContainerId ? this.#machine : this.containers.get(id);
    if (container === undefined) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    return container;
  }

  #process(id: string, pid: number): Process {
    const process = this.#get(id).processes.get(pid);
    if (process === undefined) throw new GuestFault("ERROR_NOT_FOUND", `process ${pid} does not exist`);
    return process;
  }
}

function pathOf(request: WindowsGuestRequest): string | undefined {
  switch (request.ResourceType) {
    case "MappedVirtualDisk":
      return request.Settings.ContainerPath;
    case "CombinedLayers":
      return combinationAt(request.Settings.ContainerRootPath);
    default:
      return undefined;
  }
}

/** Layers are combined in the mount of their scratch disk. */
function combinationAt(root: string): string {
  return `layers at ${root}`;
}
