import { hresults } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";
import type { ComputeSystem } from "../../types.ts";
import { hostEventTypes } from "../../windows/native/callbacks.ts";
import { hostStructures } from "../../windows/native/host-structures.ts";
import type { FakeComputeService } from "../fake-service.ts";
import type { FakeSystem } from "../fake-system.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";
import { FakeOperations } from "./fake-operations.ts";

interface Listener {
  readonly context: bigint;
  readonly callback: bigint;
}

interface SystemHandle {
  client?: ComputeSystem;
  listener?: Listener;
}

interface ProcessHandle {
  readonly processId: number;
  exitCode?: number;
  listener?: Listener;
}

interface GuardRequest {
  readonly Operation: string;
  readonly OperationDetails: {
    readonly Id: string;
    readonly CredentialSpec?: string;
    readonly Transport?: "HvSocket" | "LRPC";
  };
}

type Output = Buffer;

/** computecore.dll on a fake compute service. */
export class FakeComputeCore {
  readonly operations: FakeOperations;
  readonly systems = new Map<bigint, SystemHandle>();
  readonly processes = new Map<bigint, ProcessHandle>();
  /** Open stdio handles of processes. */
  readonly stdio = new Set<bigint>();
  readonly #machine: FakeMachine;
  readonly #service: () => FakeComputeService;
  #nextProcess = 100;

  constructor(machine: FakeMachine, service: () => FakeComputeService) {
    this.#machine = machine;
    this.#service = service;
    this.operations = new FakeOperations(machine);
  }

  leftovers(): readonly string[] {
    return [
      ...[...this.operations.open.keys()].map((handle) => `operation ${handle}`),
      ...[...this.systems.keys()].map((handle) => `system ${handle}`),
      ...[...this.processes.keys()].map((handle) => `process ${handle}`),
      ...[...this.stdio].map((handle) => `stdio ${handle}`),
    ];
  }

  systemOf(runtimeId: string): FakeSystem {
    const found = [...this.#service().systems.values()].find((system) => system.runtimeId === runtimeId);
    if (found === undefined) throw new Error(`VM ${runtimeId} does not exist`);
    return found;
  }

  clientOf(runtimeId: string): ComputeSystem {
    const found = [...this.systems.values()].find(({ client }) => client?.runtimeId === runtimeId)?.client;
    if (found === undefined) throw new Error(`no handle of VM ${runtimeId} is open`);
    return found;
  }

  /** Raises an event; its memory is freed when the listener returns. */
  send({ listener }: { readonly listener?: Listener }, Type: number, data?: string): void {
    if (listener === undefined) return;
    const EventData = data === undefined ? 0n : this.#machine.giveText("event", data);
    const event = hostStructures.HCS_EVENT.encode({ Type, EventData });
    this.#machine.lend(event, [EventData], (address) =>
      this.#machine.callBack(listener.callback, address, listener.context),
    );
  }

  exitProcess(process: ProcessHandle, exitCode: number): void {
    process.exitCode = exitCode;
    this.send(process, hostEventTypes.processExited, JSON.stringify(statusOf(process)));
  }

  get functions(): FakeDll {
    return { ...this.operations.functions, ...this.#systemFunctions(), ...this.#processFunctions(), ...this.#others() };
  }

  #systemFunctions() {
    const { operations, systems } = this;
    const on = (handle: bigint): ComputeSystem => {
      const client = systems.get(handle)?.client;
      if (client === undefined) throw new Error(`${handle} is not a handle of a system`);
      return client;
    };
    const fake = (handle: bigint): FakeSystem => this.systemOf(on(handle).runtimeId);
    const control =
      (work: (handle: bigint) => Promise<void> | void) =>
      (handle: bigint, operation: bigint): Promise<number> =>
        operations.begin(operation, async () => {
          await work(handle);
          return {};
        });
    const ending = (exit: "GracefulExit" | "ForcedExit") =>
      control(async (handle) => {
        if (this.#service().isLost) await on(handle).terminate();
        else fake(handle).endOnRequest(exit);
      });
    return {
      HcsCreateComputeSystem: (id: string, document: string, operation: bigint, _security: null, output: Output) => {
        const made: SystemHandle = {};
        output.writeBigUInt64LE(this.#newHandle(made));
        return operations.begin(operation, async () => {
          this.#open(made, await this.#service().connect().createComputeSystem(id, JSON.parse(document)));
          return {};
        });
      },
      HcsOpenComputeSystem: async (id: string, _access: number, output: Output) => {
        try {
          const made: SystemHandle = {};
          this.#open(made, await this.#service().connect().openComputeSystem(id));
          output.writeBigUInt64LE(this.#newHandle(made));
          return 0;
        } catch (error) {
          return operations.hresultOf(error);
        }
      },
      HcsCloseComputeSystem: async (handle: bigint) => {
        const found = systems.get(handle);
        if (!systems.delete(handle)) this.#machine.wrongs.push(`system ${handle} is not open`);
        delete found?.listener;
        await found?.client?.close();
      },
      HcsStartComputeSystem: control((handle) => on(handle).start()),
      HcsShutDownComputeSystem: ending("GracefulExit"),
      HcsTerminateComputeSystem: ending("ForcedExit"),
      HcsCrashComputeSystem: control((handle) => fake(handle).end("UnexpectedExit", hresults.HCS_E_UNEXPECTED_EXIT)),
      HcsPauseComputeSystem: control(() => {}),
      HcsResumeComputeSystem: control(() => {}),
      HcsSaveComputeSystem: control(() => {}),
      HcsModifyComputeSystem: (handle: bigint, operation: bigint, request: string) =>
        operations.begin(operation, async () => {
          await on(handle).modify(JSON.parse(request));
          return {};
        }),
      HcsGetComputeSystemProperties: (handle: bigint, operation: bigint, query: string | null) =>
        operations.begin(operation, async () => {
          const types = query === null ? [] : JSON.parse(query).PropertyTypes;
          // Like another build of the service, returns more than the driver knows.
          return { document: { ...(await on(handle).properties(types)), Stopped: false } };
        }),
      HcsSetComputeSystemCallback: (handle: bigint, _options: number, context: bigint, callback: bigint) => {
        const found = systems.get(handle);
        if (found === undefined) return hresults.E_INVALIDARG | 0;
        found.listener = { context, callback };
        return 0;
      },
    };
  }

  #processFunctions() {
    const { operations, processes } = this;
    const on = (handle: bigint): ProcessHandle => {
      const process = processes.get(handle);
      if (process === undefined) throw new Error(`${handle} is not a handle of a process`);
      return process;
    };
    const make = (process: ProcessHandle, output: Output): void => {
      const handle = this.#machine.newAddress();
      processes.set(handle, process);
      output.writeBigUInt64LE(handle);
    };
    const control =
      (work: (process: ProcessHandle, options: string | null) => void) =>
      (handle: bigint, operation: bigint, options: string | null): Promise<number> =>
        operations.begin(operation, () => {
          work(on(handle), options);
          return {};
        });
    return {
      HcsCreateProcess: (_system: bigint, parameters: string, operation: bigint, _security: null, output: Output) => {
        const process: ProcessHandle = { processId: this.#nextProcess++ };
        make(process, output);
        return operations.begin(operation, () => ({
          information: () => this.#information(process, JSON.parse(parameters)),
        }));
      },
      HcsOpenProcess: (_system: bigint, processId: number, _access: number, output: Output) => {
        make({ processId }, output);
        return 0;
      },
      HcsCloseProcess: (handle: bigint) => {
        if (!processes.delete(handle)) this.#machine.wrongs.push(`process ${handle} is not open`);
      },
      HcsGetProcessInfo: (handle: bigint, operation: bigint) =>
        operations.begin(operation, () => ({
          information: () => this.#information(on(handle), { CreateStdOutPipe: true }),
        })),
      HcsGetProcessProperties: (handle: bigint, operation: bigint) =>
        operations.begin(operation, () => ({ document: statusOf(on(handle)) })),
      HcsSetProcessCallback: (handle: bigint, _options: number, context: bigint, callback: bigint) => {
        on(handle).listener = { context, callback };
        return 0;
      },
      HcsTerminateProcess: control((process) => this.exitProcess(process, 1)),
      HcsSignalProcess: control((process, options) => this.exitProcess(process, (options ?? "").length)),
      HcsModifyProcess: control(() => {}),
    };
  }

  #others() {
    const { operations } = this;
    const withFile = async (path: string): Promise<number> => {
      try {
        this.#service().requireFile(path);
        return 0;
      } catch (error) {
        return operations.hresultOf(error);
      }
    };
    return {
      HcsEnumerateComputeSystems: (query: string, operation: bigint) =>
        operations.begin(operation, async () => {
          const [owner] = JSON.parse(query).Owners ?? [];
          const systems = await this.#service().connect().enumerateComputeSystems(owner);
          return { document: [...systems, { Id: "container", SystemType: "Container" }] };
        }),
      HcsGetServiceProperties: (query: string, output: Output) => {
        if (JSON.parse(query).PropertyTypes?.[0] === "ContainerCredentialGuard") {
          const Properties = [{ Instances: [...this.#service().guestServices.guards.values()] }];
          output.writeBigUInt64LE(this.#machine.giveText("computecore", JSON.stringify({ Properties })));
          return 0;
        }
        output.writeBigUInt64LE(this.#machine.giveText("computecore", `{"Properties":[${query}]}`));
        return 0;
      },
      HcsModifyServiceSettings: (settings: string, output: Output) => {
        const { PropertyType, Settings } = JSON.parse(settings);
        if (PropertyType === "ContainerCredentialGuard") return this.#modifyGuards(Settings, output);
        output.writeBigUInt64LE(this.#machine.giveText("computecore", '{"ErrorMessage":"no such group"}'));
        return hresults.ERROR_NOT_FOUND | 0;
      },
      HcsGrantVmAccess: (_id: string, path: string) => withFile(path),
      HcsRevokeVmAccess: (_id: string, path: string) => withFile(path),
      HcsGrantVmGroupAccess: withFile,
      HcsRevokeVmGroupAccess: withFile,
      HcsCreateEmptyGuestStateFile: () => 0,
      HcsCreateEmptyRuntimeStateFile: () => 0,
    };
  }

  #modifyGuards({ Operation, OperationDetails: details }: GuardRequest, output: Output): number {
    const { guestServices } = this.#service();
    try {
      if (Operation === "AddInstance")
        guestServices.addGuard(details.Id, details.CredentialSpec ?? "", details.Transport);
      else guestServices.removeGuard(details.Id);
      return 0;
    } catch (error) {
      // The service may repeat what it was given.
      const ErrorMessage = `${messageOf(error)}: ${details.CredentialSpec}`;
      output.writeBigUInt64LE(this.#machine.giveText("computecore", JSON.stringify({ ErrorMessage })));
      return this.operations.hresultOf(error);
    }
  }

  #newHandle(system: SystemHandle): bigint {
    const handle = this.#machine.newAddress();
    this.systems.set(handle, system);
    return handle;
  }

  #open(handle: SystemHandle, client: ComputeSystem): void {
    handle.client = client;
    client.exited.then(
      (status) => this.send(handle, hostEventTypes.systemExited, JSON.stringify(status)),
      (error: { readonly code: string }) => {
        if (error.code === "Unavailable") this.send(handle, hostEventTypes.serviceDisconnect);
      },
    );
  }

  #information({ processId }: ProcessHandle, parameters: { readonly [name: string]: unknown }): Buffer {
    const stdio = (isThere: unknown): bigint => {
      if (isThere !== true) return 0n;
      const handle = this.#machine.newAddress();
      this.stdio.add(handle);
      return handle;
    };
    return hostStructures.HCS_PROCESS_INFORMATION.encode({
      ProcessId: processId,
      StdInput: stdio(parameters.CreateStdInPipe),
      StdOutput: stdio(parameters.CreateStdOutPipe),
      StdError: stdio(parameters.CreateStdErrPipe),
    });
  }
}

function statusOf({ processId, exitCode }: ProcessHandle): object {
  return {
    ProcessId: processId,
    Exited: exitCode !== undefined,
    ...(exitCode !== undefined && { ExitCode: exitCode }),
  };
}
