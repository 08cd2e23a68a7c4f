import { duplexPair } from "node:stream";
import { GcsBridgeServer, GuestFault, type GuestHandlers, type Procedure, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { capabilities } from "@uvm-shim/gcs-bridge/testing";
import type { FakeSystem } from "@uvm-shim/hcs-bindings/testing";
import {
  checkLinuxGuestRequest,
  checkLinuxHostedContainerSettings,
  checkLinuxProcessParameters,
  type LinuxGuestRequest,
  linuxVsockPorts,
  type OciSpec,
} from "@uvm-shim/hcs-schema";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";

const annotation = (spec: OciSpec, name: string): string => spec.annotations?.[`io.kubernetes.cri.${name}`] ?? "";
const isWorkload = (spec: OciSpec): boolean => annotation(spec, "container-type") === "container";
const sandboxOf = (spec: OciSpec): string => annotation(spec, "sandbox-id");

interface Process {
  readonly exit: Promise<number>;
  end(code: number): void;
}

interface Container {
  readonly processes: Map<number, Process>;
  isRunning: boolean;
}

/** A Linux guest behind the real protocol, as strict as one: every request of the host is a call of the script. */
export class StackGuest {
  readonly containers = new Map<string, Container>();
  /** Paths at which something is mounted or combined. */
  readonly mounted = new Set<string>();
  readonly #script: ScriptedCalls;
  readonly #system: FakeSystem;
  /** Programs of the VM itself. */
  readonly #machine: Container = { processes: new Map(), isRunning: true };
  #nextPid = 100;

  /** Dials what guests dial when they boot. */
  constructor(script: ScriptedCalls, system: FakeSystem) {
    this.#script = script;
    this.#system = system;
    for (const port of [linuxVsockPorts.entropy, linuxVsockPorts.log]) {
      const stream = system.dial(port);
      if (port === linuxVsockPorts.entropy) stream?.on("end", () => stream.end());
      stream?.on("error", () => {}).resume();
    }
    const bridge = system.dial(linuxVsockPorts.gcs);
    if (bridge !== undefined) new GcsBridgeServer(bridge, this.#handlers(), { capabilities });
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
          const { OciSpecification: spec } = checkLinuxHostedContainerSettings(JSON.parse(ContainerConfig));
          if (spec.linux?.resources === undefined) throw new GuestFault("E_FAIL", "linux.resources is missing");
          if (isWorkload(spec) && (spec.hostname ?? "") !== "") throw new GuestFault("E_FAIL", "hostname is given");
          if (isWorkload(spec) && !this.containers.has(sandboxOf(spec))) throw new GuestFault("E_FAIL", "no sandbox");
          if (this.containers.has(containerId)) throw new GuestFault("HCS_E_SYSTEM_ALREADY_EXISTS", containerId);
          this.containers.set(containerId, { processes: new Map(), isRunning: true });
          return done;
        }),
      start: (_, { containerId }) =>
        scripted("start", containerId, () => {
          this.#running(containerId);
          return done;
        }),
      executeProcess: ({ Settings }, { containerId }) =>
        scripted("executeProcess", containerId, () => {
          const { CommandArgs = [] } = checkLinuxProcessParameters(JSON.parse(Settings.ProcessParameters));
          const { processes } = this.#running(containerId);
          const pid = this.#nextPid++;
          const exit = Promise.withResolvers<number>();
          const { StdIn, StdOut, StdErr } = Settings.VsockStdioRelaySettings ?? {};
          const dialled = (...ports: (number | undefined)[]) =>
            ports.flatMap((port) => (port === undefined ? [] : [this.#dial(port)]));
          const input = dialled(StdIn);
          const outputs = dialled(StdOut, StdErr);
          const closed = Promise.all(outputs.map((stream) => new Promise((resolve) => stream.once("close", resolve))));
          // As a guest does: an exit is reported when the host has closed the outputs.
          const end = (code: number): void => {
            for (const stream of [...input, ...outputs]) stream.end();
            void closed.then(() => exit.resolve(code));
          };
          processes.set(pid, { exit: exit.promise, end });
          if (containerId === uvmContainerId) this.#runInVm(CommandArgs, pid);
          return { ProcessId: pid };
        }),
      waitForProcess: async ({ ProcessId }, { containerId }) => {
        const process = await scripted("waitForProcess", containerId, () => this.#process(containerId, ProcessId));
        return { ExitCode: await process.exit };
      },
      signalProcess: ({ ProcessId }, { containerId }) =>
        scripted("signalProcess", containerId, () => {
          // As a real guest, which finds no container for them.
          if (containerId === uvmContainerId) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", "no such container");
          this.#process(containerId, ProcessId).end(137);
          return done;
        }),
      shutdownForced: (_, { containerId }) =>
        scripted("shutdownForced", containerId, () => {
          const container = this.#running(containerId);
          container.isRunning = false;
          for (const process of container.processes.values()) process.end(137);
          return done;
        }),
      dumpStacks: () => scripted("dumpStacks", "", () => ({ GuestStacks: "main: waits" })),
      deleteContainerState: (_, { containerId }) =>
        scripted("deleteContainerState", containerId, () => {
          this.#get(containerId);
          this.containers.delete(containerId);
          return done;
        }),
      modifySettings: ({ Request }) => {
        const request = checkLinuxGuestRequest(Request);
        return scripted("modifySettings", `${request.RequestType} ${request.ResourceType}`, () => {
          this.#modify(request);
          return done;
        });
      },
    };
  }

  /** Programs that sleep go on; one that sends a signal, and any other, ends. */
  #runInVm(command: readonly string[], pid: number): void {
    const killed = /^kill -9 (\d+)$/.exec(command.at(-1) ?? "")?.[1];
    if (killed !== undefined) this.#machine.processes.get(Number(killed))?.end(137);
    if (command[0] !== "sleep") setImmediate(() => this.#process(uvmContainerId, pid).end(0));
  }

  #modify(request: LinuxGuestRequest): void {
    const path = pathOf(request);
    if (path === undefined) return;
    if (request.RequestType === "Add") {
      if (this.mounted.has(path)) throw new GuestFault("ERROR_ALREADY_EXISTS", `${path} is mounted`);
      this.mounted.add(path);
    } else if (!this.mounted.delete(path)) throw new GuestFault("ERROR_NOT_FOUND", `${path} is not mounted`);
  }

  #dial(port: number) {
    const stream = this.#system.dial(port) ?? duplexPair()[0];
    return stream.on("error", () => {}).resume();
  }

  #get(id: string): Container {
    const container = id === uvmContainerId ? this.#machine : this.containers.get(id);
    if (container === undefined) throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    return container;
  }

  #running(id: string): Container {
    const container = this.#get(id);
    if (!container.isRunning) throw new GuestFault("HCS_E_SYSTEM_ALREADY_STOPPED", `container ${id} has stopped`);
    return container;
  }

  #process(id: string, pid: number): Process {
    const process = this.#get(id).processes.get(pid);
    if (process === undefined) throw new GuestFault("ERROR_NOT_FOUND", `process ${pid} does not exist`);
    return process;
  }
}

function pathOf(request: LinuxGuestRequest): string | undefined {
  switch (request.ResourceType) {
    case "MappedVirtualDisk":
    case "MappedDirectory":
      return request.Settings.MountPath;
    case "CombinedLayers":
      return request.Settings.ContainerRootPath;
    default:
      return undefined;
  }
}
