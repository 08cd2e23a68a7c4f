import type { Duplex } from "node:stream";
import {
  type ComputeSystemProperties,
  type CrashReport,
  hresults,
  type ModifySettingRequest,
  type SystemExitStatus,
  type SystemPropertyType,
} from "@uvm-shim/hcs-schema";
import type { HcsType } from "@uvm-shim/hcs-schema/tables";
import { HostError, hostErrorOf, ignoreEnded } from "../../host-error.ts";
import type { ComputeSystem, HvsocketListener, HvsocketService } from "../../types.ts";
import { type HostEvent, hostEventTypes, type Subscription } from "../native/callbacks.ts";
import { closedError, handleClosed, serviceLost } from "../native/close-reason.ts";
import { callError, failed, readAnswer, type Subject, unlessAborted } from "./call-results.ts";
import type { ComputeCore } from "./compute-core.ts";
import type { HostProcesses, HostSockets } from "./host-dependencies.ts";
import type { HostProcess } from "./host-process.ts";
import { type LiveMigration, liveMigrationOf } from "./live-migration.ts";
import { Operations } from "./operations.ts";
import { ProcessHandles, type ProcessParameters } from "./process-handles.ts";
import { readCrash, readExit, readProperties } from "./system-documents.ts";

/** The host, as a system uses it. */
export interface SystemHost {
  readonly core: ComputeCore;
  readonly sockets: HostSockets;
  readonly processes: HostProcesses;
  /** The compute service has ended: fails all pending calls. */
  lost(): void;
  /** Called when the handle has been closed. */
  forget(system: WindowsComputeSystem): void;
}

/** Releases a system whose caller has aborted. */
export type Abandon = (system: WindowsComputeSystem) => Promise<void>;

type Control =
  | "HcsStartComputeSystem"
  | "HcsShutDownComputeSystem"
  | "HcsTerminateComputeSystem"
  | "HcsCrashComputeSystem"
  | "HcsPauseComputeSystem"
  | "HcsResumeComputeSystem"
  | "HcsSaveComputeSystem";

/** A handle of a compute system. Options are documents of the HCS schema. */
export class WindowsComputeSystem implements ComputeSystem {
  readonly id: string;
  readonly exited: Promise<SystemExitStatus>;
  readonly #host: SystemHost;
  readonly #handle: bigint;
  readonly #operations: Operations;
  readonly #processes: ProcessHandles;
  readonly #events: Subscription;
  readonly #resolveExited: (status: SystemExitStatus) => void;
  readonly #rejectExited: (error: HostError) => void;
  #runtimeId = "";
  #crashReport: CrashReport | undefined;
  #closed: Promise<void> | undefined;

  private constructor(host: SystemHost, id: string, handle: bigint) {
    this.id = id;
    this.#host = host;
    this.#handle = handle;
    this.#operations = new Operations(host.core);
    this.#processes = new ProcessHandles(host.core, host.sockets, this.#operations, handle);
    const { promise, resolve, reject } = Promise.withResolvers<SystemExitStatus>();
    // Waiting for the exit is optional: without a waiter this must not be an unhandled rejection.
    promise.catch(() => {});
    this.exited = promise;
    this.#resolveExited = resolve;
    this.#rejectExited = reject;
    this.#events = host.core.callbacks.onEvent((event) => this.#hear(event));
  }

  /** Takes ownership of a handle. On failure `abandon` releases the system and closes the handle. */
  static async adopt(host: SystemHost, id: string, handle: bigint, abandon: Abandon): Promise<WindowsComputeSystem> {
    const system = new WindowsComputeSystem(host, id, handle);
    try {
      await system.#listenForEvents();
      const { RuntimeId: runtimeId, State: state } = await system.properties([]);
      system.#runtimeId = runtimeId.toLowerCase();
      // No event reports an exit from before the callback was registered.
      if (state === "Stopped") system.#resolveExited({ Status: 0, ExitType: "Unknown" });
      return system;
    } catch (error) {
      await abandon(system).catch(() => {});
      throw error;
    }
  }

  get runtimeId(): string {
    return this.#runtimeId;
  }

  get crashReport(): CrashReport | undefined {
    return this.#crashReport;
  }

  start(signal?: AbortSignal, options?: HcsType<"StartOptions">): Promise<void> {
    return this.#control("HcsStartComputeSystem", "start", signal, options);
  }

  async shutdown(signal?: AbortSignal): Promise<void> {
    await this.#control("HcsShutDownComputeSystem", "shutdown", signal).catch(ignoreEnded);
  }

  async terminate(signal?: AbortSignal): Promise<void> {
    await this.#control("HcsTerminateComputeSystem", "terminate", signal).catch(ignoreEnded);
  }

  /** Crashes the guest. */
  crash(signal?: AbortSignal, options?: HcsType<"CrashOptions">): Promise<void> {
    return this.#control("HcsCrashComputeSystem", "crash", signal, options);
  }

  pause(signal?: AbortSignal, options?: HcsType<"PauseOptions">): Promise<void> {
    return this.#control("HcsPauseComputeSystem", "pause", signal, options);
  }

  resume(signal?: AbortSignal): Promise<void> {
    return this.#control("HcsResumeComputeSystem", "resume", signal);
  }

  save(signal?: AbortSignal, options?: HcsType<"SaveOptions">): Promise<void> {
    return this.#control("HcsSaveComputeSystem", "save", signal, options);
  }

  async modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void> {
    const subject = this.#open(`${request.RequestType} ${request.ResourcePath} of`);
    const { library } = this.#host.core;
    const document = JSON.stringify(request);
    await this.#perform(subject, signal, (operation) =>
      library.run("HcsModifyComputeSystem", this.#handle, operation, document, null),
    );
  }

  async properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties> {
    const subject = this.#open("query");
    const { library } = this.#host.core;
    const query = types.length === 0 ? null : JSON.stringify({ PropertyTypes: types });
    const answer = await this.#perform(subject, signal, (operation) =>
      library.run("HcsGetComputeSystemProperties", this.#handle, operation, query),
    );
    return readAnswer(subject, answer, readProperties);
  }

  async workingSet(signal?: AbortSignal): Promise<number> {
    const subject = this.#open("query working set of");
    const { State: state } = await this.properties([], signal);
    if (state !== "Running") {
      throw hostErrorOf(
        { hresult: hresults.HCS_E_INVALID_STATE, message: `the system is ${state}: expected Running` },
        subject,
      );
    }
    return await unlessAborted(signal, subject, () => this.#host.processes.workingSetOf(this.#runtimeId));
  }

  async listen(service: HvsocketService): Promise<HvsocketListener> {
    this.#open("listen on hvsocket of");
    return await this.#host.sockets.listen(this.#runtimeId, service);
  }

  async connect(port: number, signal?: AbortSignal): Promise<Duplex> {
    this.#open("connect to hvsocket of");
    return await this.#host.sockets.connect(this.#runtimeId, port, signal);
  }

  /** Undefined if computecore.dll does not export live migration. */
  get liveMigration(): LiveMigration | undefined {
    const { library } = this.#host.core;
    return liveMigrationOf(library, async (name, options, signal) => {
      const subject = this.#open(`${name} of`);
      const document = JSON.stringify(options);
      await this.#perform(subject, signal, (operation) => library.run(name, this.#handle, operation, document));
    });
  }

  createProcess(parameters: ProcessParameters, signal?: AbortSignal): Promise<HostProcess> {
    return this.#processes.create(this.#open("create process in"), parameters, signal);
  }

  openProcess(processId: number, signal?: AbortSignal): Promise<HostProcess> {
    return this.#processes.open(this.#open(`open process ${processId} of`), processId, signal);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** The compute service has ended, and with it the system. */
  lost(): void {
    this.#rejectExited(closedError(this.#about("wait for exit of"), serviceLost));
    void this.#operations.end(serviceLost);
    this.#processes.lost();
  }

  async #close(): Promise<void> {
    this.#rejectExited(closedError(this.#about("wait for exit of"), handleClosed));
    await this.#operations.end(handleClosed);
    await this.#processes.close();
    // This call waits for running callbacks.
    await this.#host.core.library.run("HcsCloseComputeSystem", this.#handle);
    this.#events.end();
    this.#host.forget(this);
  }

  async #listenForEvents(): Promise<void> {
    const { library, callbacks } = this.#host.core;
    const subject = this.#about("listen for events of");
    const hresult = await this.#operations.call(subject, () =>
      library.run("HcsSetComputeSystemCallback", this.#handle, 0, this.#events.context, callbacks.eventAddress),
    );
    if (failed(hresult)) throw callError(subject, hresult);
  }

  #hear({ type, data }: HostEvent): void {
    switch (type) {
      case hostEventTypes.systemExited:
        this.#resolveExited(readExit(data));
        return;
      case hostEventTypes.systemCrashReport:
        this.#crashReport = readCrash(data);
        return;
      case hostEventTypes.serviceDisconnect:
        this.#host.lost();
        return;
    }
  }

  async #control(name: Control, verb: string, signal?: AbortSignal, options?: object): Promise<void> {
    const { library } = this.#host.core;
    const document = options === undefined ? null : JSON.stringify(options);
    await this.#perform(this.#open(verb), signal, (operation) => library.run(name, this.#handle, operation, document));
  }

  #perform(
    subject: Subject,
    signal: AbortSignal | undefined,
    start: (operation: bigint) => Promise<number>,
  ): Promise<string | undefined> {
    return unlessAborted(signal, subject, () => this.#operations.perform(subject, start));
  }

  #about(verb: string): Subject {
    return { operation: `${verb} compute system`, id: this.id };
  }

  #open(verb: string): Subject {
    const subject = this.#about(verb);
    if (this.#closed !== undefined) {
      throw new HostError("FailedPrecondition", "the handle is closed", { ...subject, gone: true });
    }
    return subject;
  }
}
