import type { Duplex } from "node:stream";
import type {
  ComputeSystemDocument,
  ComputeSystemProperties,
  CrashReport,
  ModifySettingRequest,
  SystemExitStatus,
  SystemPropertyType,
} from "@uvm-shim/hcs-schema";
import type { EmulatedHandle } from "@uvm-shim/host-protocol";
import { HostError, ignoreEnded } from "../host-error.ts";
import type {
  ComputeHost,
  ComputeSystem,
  HostNetworks,
  HvsocketListener,
  HvsocketService,
  WindowsGuestServices,
} from "../types.ts";
import type { EmulatorConnection } from "./connection.ts";
import { emulatedGuestServices } from "./guest-services.ts";
import { connectToGuest, listenForGuest } from "./hvsocket.ts";
import { emulatedNetworks } from "./networks.ts";
import { type ConnectOptions, connectOrStart } from "./start-host.ts";

/** The emulator driver of the host contract. It uses one connection; its handles close with the connection. */
export async function connectEmulatedHost(options: ConnectOptions): Promise<ComputeHost> {
  return new EmulatedComputeHost(await connectOrStart(options));
}

class EmulatedComputeHost implements ComputeHost {
  readonly networks: HostNetworks;
  readonly windows: WindowsGuestServices;
  readonly #connection: EmulatorConnection;
  readonly #listeners = new Set<HvsocketListener>();

  constructor(connection: EmulatorConnection) {
    this.#connection = connection;
    this.networks = emulatedNetworks(connection);
    this.windows = emulatedGuestServices(connection);
  }

  createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<ComputeSystem> {
    const subject = { operation: "create compute system", id };
    return this.#connection.call("create", { system: id, document }, subject, {
      signal,
      receive: (opened) => new EmulatedComputeSystem(this.#connection, this.#listeners, id, opened),
      // The caller has no handle of this system, so nobody else would end it.
      abandon: (system) => {
        void system
          .terminate()
          .catch(() => {})
          .finally(() => system.close())
          .catch(() => {});
      },
    });
  }

  openComputeSystem(id: string, signal?: AbortSignal): Promise<ComputeSystem> {
    const subject = { operation: "open compute system", id };
    return this.#connection.call("open", { system: id }, subject, {
      signal,
      receive: (opened) => new EmulatedComputeSystem(this.#connection, this.#listeners, id, opened),
      abandon: (system) => {
        void system.close().catch(() => {});
      },
    });
  }

  enumerateComputeSystems(owner?: string, signal?: AbortSignal): Promise<readonly ComputeSystemProperties[]> {
    const subject = { operation: "enumerate compute systems", id: owner ?? "of all owners" };
    return this.#connection.call("enumerate", owner === undefined ? {} : { owner }, subject, {
      signal,
      receive: ({ systems }) => systems,
    });
  }

  grantVmAccess(computeSystemId: string, path: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: `grant access to ${path} to compute system`, id: computeSystemId };
    return this.#connection.call("grantVmAccess", { system: computeSystemId, path }, subject, {
      signal,
      receive: done,
    });
  }

  joinNetworkNamespace(computeSystemId: string, path: string, signal?: AbortSignal): Promise<string> {
    const subject = { operation: `join network namespace ${path} with compute system`, id: computeSystemId };
    // After an abort there is nothing to undo: the namespace ends with the connection or the system.
    return this.#connection.call("joinNetworkNamespace", { system: computeSystemId, path }, subject, {
      signal,
      receive: ({ namespace }) => namespace,
    });
  }

  joinControlGroup(
    computeSystemId: string,
    path: string,
    pid: number | undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    const subject = { operation: `join cgroup ${path} with compute system`, id: computeSystemId };
    return this.#connection.call(
      "joinControlGroup",
      { system: computeSystemId, path, ...(pid !== undefined && { pid }) },
      subject,
      {
        signal,
        receive: done,
      },
    );
  }

  ping(signal?: AbortSignal): Promise<void> {
    return this.#connection.ping(signal);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    await this.#connection.close();
  }
}

function done(): void {}

type HandleCall = "start" | "shutdown" | "terminate";

class EmulatedComputeSystem implements ComputeSystem {
  readonly id: string;
  readonly runtimeId: string;
  readonly exited: Promise<SystemExitStatus>;
  readonly #connection: EmulatorConnection;
  readonly #listeners: Set<HvsocketListener>;
  readonly #handle: number;
  readonly #vsockBase: string;
  readonly #rejectExited: (error: HostError) => void;
  #crashReport: CrashReport | undefined;
  #closed: Promise<void> | undefined;

  constructor(connection: EmulatorConnection, listeners: Set<HvsocketListener>, id: string, opened: EmulatedHandle) {
    this.id = id;
    this.#listeners = listeners;
    this.runtimeId = opened.runtimeId;
    this.#connection = connection;
    this.#handle = opened.handle;
    this.#vsockBase = opened.vsockBase;
    const { promise, resolve, reject } = Promise.withResolvers<SystemExitStatus>();
    // Waiting for the exit is optional: without a waiter this must not be an unhandled rejection.
    promise.catch(() => {});
    this.exited = promise;
    this.#rejectExited = reject;
    connection.listen(opened.handle, {
      crashed: (report) => {
        this.#crashReport = report;
      },
      exited: resolve,
      lost: (cause) =>
        reject(
          new HostError(cause.code, `lost the host: ${cause.message}`, { ...this.#about("wait for exit of"), cause }),
        ),
    });
  }

  get crashReport(): CrashReport | undefined {
    return this.#crashReport;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#call("start", signal);
  }

  async shutdown(signal?: AbortSignal): Promise<void> {
    await this.#call("shutdown", signal).catch(ignoreEnded);
  }

  async terminate(signal?: AbortSignal): Promise<void> {
    await this.#call("terminate", signal).catch(ignoreEnded);
  }

  async modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void> {
    const subject = this.#open(`${request.RequestType} ${request.ResourcePath} of`);
    await this.#connection.call("modify", { handle: this.#handle, request }, subject, { signal, receive: done });
  }

  async properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties> {
    const subject = this.#open("query");
    return this.#connection.call("properties", { handle: this.#handle, types }, subject, {
      signal,
      receive: (properties) => properties,
    });
  }

  async workingSet(signal?: AbortSignal): Promise<number> {
    const subject = this.#open("query working set of");
    return this.#connection.call("workingSet", { handle: this.#handle }, subject, {
      signal,
      receive: ({ bytes }) => bytes,
    });
  }

  async listen(service: HvsocketService): Promise<HvsocketListener> {
    this.#open("listen on hvsocket of");
    return listenForGuest(this.id, this.#vsockBase, service, this.#listeners);
  }

  async connect(port: number, signal?: AbortSignal): Promise<Duplex> {
    this.#open("connect to hvsocket of");
    return connectToGuest(this.id, this.#vsockBase, port, signal);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const subject = this.#about("close");
    this.#connection.forget(this.#handle);
    this.#rejectExited(
      new HostError("Cancelled", "the handle was closed", { ...this.#about("wait for exit of"), gone: true }),
    );
    if (!this.#connection.isOpen) return;
    await this.#connection
      .call("close", { handle: this.#handle }, subject, { receive: done })
      .catch((error: unknown) => {
        // A lost host has already closed its handles.
        if (this.#connection.isOpen) throw error;
      });
  }

  async #call(call: HandleCall, signal: AbortSignal | undefined): Promise<void> {
    const subject = this.#open(call);
    await this.#connection.call(call, { handle: this.#handle }, subject, { signal, receive: done });
  }

  #about(verb: string): { readonly operation: string; readonly id: string } {
    return { operation: `${verb} compute system`, id: this.id };
  }

  #open(verb: string): { readonly operation: string; readonly id: string } {
    const subject = this.#about(verb);
    if (this.#closed !== undefined) {
      throw new HostError("FailedPrecondition", "the handle is closed", { ...subject, gone: true });
    }
    return subject;
  }
}
