import type { Duplex } from "node:stream";
import {
  type ComputeSystemProperties,
  type CrashReport,
  highestVsockPort,
  hresults,
  type ModifySettingRequest,
  type SystemExitStatus,
  type SystemPropertyType,
} from "@uvm-shim/hcs-schema";
import { HostError } from "../host-error.ts";
import { portOf } from "../hvsocket-service.ts";
import type { ComputeSystem, HvsocketListener, HvsocketService } from "../types.ts";
import { type CallsOfClient, FakeListener } from "./fake-listener.ts";
import type { FakeSystem } from "./fake-system.ts";

/** A handle of a system, as one client has it. */
export class FakeHandle implements ComputeSystem {
  readonly id: string;
  readonly runtimeId: string;
  /** The system of the handle, for tests. */
  readonly system: FakeSystem;
  readonly #service: CallsOfClient;
  readonly #exited = Promise.withResolvers<SystemExitStatus>();
  /** Listeners whose `listen` was never answered; they close with the handle. */
  readonly #unanswered = new Set<FakeListener>();
  /** The others, which close with the host. */
  readonly #answered = new Set<FakeListener>();
  isOpen = true;

  constructor(service: CallsOfClient, system: FakeSystem) {
    this.id = system.id;
    this.runtimeId = system.runtimeId;
    this.system = system;
    this.#service = service;
    // Waiting for the exit is optional.
    this.#exited.promise.catch(() => {});
    system.handles.add(this);
    if (system.exit !== undefined) this.#exited.resolve(system.exit);
  }

  get exited(): Promise<SystemExitStatus> {
    return this.#exited.promise;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#call("start", this.id, "start", signal, () => this.system.start());
  }

  async shutdown(signal?: AbortSignal): Promise<void> {
    await this.#call("shutdown", this.id, "shutdown", signal, () => this.system.endOnRequest("GracefulExit")).catch(
      ignoreEnded,
    );
  }

  async terminate(signal?: AbortSignal): Promise<void> {
    await this.#call("terminate", this.id, "terminate", signal, () => this.system.endOnRequest("ForcedExit")).catch(
      ignoreEnded,
    );
  }

  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void> {
    const verb = `${request.RequestType} ${request.ResourcePath} of`;
    return this.#call("modify", request.ResourcePath, verb, signal, () => this.system.modify(request));
  }

  properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties> {
    return this.#call("properties", types.join(","), "query", signal, () => this.system.query(types));
  }

  workingSet(signal?: AbortSignal): Promise<number> {
    return this.#call("workingSet", this.id, "query working set of", signal, () => this.system.workingSet);
  }

  get crashReport(): CrashReport | undefined {
    return this.system.crashReport;
  }

  async listen(service: HvsocketService): Promise<HvsocketListener> {
    const port = portOf(this.id, service);
    const details = { operation: "listen on hvsocket of", id: this.id };
    if (!Number.isInteger(port) || port < 0 || port > highestVsockPort) {
      throw new HostError("InvalidArgument", `invalid port ${port}: expected 0 to ${highestVsockPort}`, details);
    }
    let made: FakeListener | undefined;
    try {
      const listener = await this.#call("listen", `${service}`, "listen on hvsocket of", undefined, () => {
        if (this.system.listeners.has(port))
          throw new HostError("AlreadyExists", `port ${port} already has a listener`, details);
        made = new FakeListener(this.#service, this.system, port, `${service}`);
        this.#unanswered.add(made);
        return made;
      });
      this.#unanswered.delete(listener);
      this.#answered.add(listener);
      return listener;
    } catch (error) {
      made?.letGo();
      throw error;
    }
  }

  async connect(port: number, signal?: AbortSignal): Promise<Duplex> {
    return await this.#call("connect", `${port}`, "connect to hvsocket of", signal, () => {
      throw new HostError("Unavailable", `port ${port} has no listener`, {
        operation: "connect to hvsocket of",
        id: this.id,
      });
    });
  }

  async close(): Promise<void> {
    if (!this.isOpen) return;
    if (this.#service.isLost) this.letGo();
    else await this.#service.call("closeSystem", this.id, this.#about("close"), undefined, () => this.letGo());
  }

  // For tests only; clients do not see it.

  systemExited(status: SystemExitStatus): void {
    this.#exited.resolve(status);
  }

  lose(error: HostError): void {
    this.isOpen = false;
    this.#exited.reject(error);
  }

  hostClosed(): void {
    for (const listener of this.#answered) listener.letGo();
    this.letGo();
  }

  letGo(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const listener of this.#unanswered) listener.letGo();
    this.#exited.reject(
      new HostError("Cancelled", "the handle was closed", { ...this.#about("wait for exit of"), gone: true }),
    );
    this.system.handleClosed(this);
  }

  async #call<T>(
    name: string,
    detail: string,
    verb: string,
    signal: AbortSignal | undefined,
    effect: () => T,
  ): Promise<T> {
    return await this.#service.call(name, detail, this.#about(verb), signal, () => {
      if (!this.isOpen) {
        throw new HostError("FailedPrecondition", "the handle is closed", { ...this.#about(verb), gone: true });
      }
      return effect();
    });
  }

  #about(verb: string): { readonly operation: string; readonly id: string } {
    return { operation: `${verb} compute system`, id: this.id };
  }
}

/** Ending a system that has ended succeeds. */
function ignoreEnded(error: unknown): void {
  if (error instanceof HostError && error.hresult === hresults.HCS_E_SYSTEM_ALREADY_STOPPED) return;
  throw error;
}
