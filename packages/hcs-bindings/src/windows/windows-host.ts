import type { ComputeSystemDocument, ComputeSystemProperties } from "@uvm-shim/hcs-schema";
import type { ComputeHost, WindowsGuestServices } from "../types.ts";
import { callError, failed, readAnswer, type Subject, unlessAborted } from "./compute/call-results.ts";
import { type ComputeCore, loadComputeCore } from "./compute/compute-core.ts";
import { type ComputeService, computeService } from "./compute/compute-service.ts";
import { type Abandon, type SystemHost, WindowsComputeSystem } from "./compute/compute-system.ts";
import type { HostProcesses, HostSockets } from "./compute/host-dependencies.ts";
import { Operations } from "./compute/operations.ts";
import { allAccess } from "./compute/process-handles.ts";
import { readEnumeration } from "./compute/system-documents.ts";
import { type DriverGuestServices, windowsGuestServices } from "./guest/guest-services.ts";
import { hostClosed, serviceLost } from "./native/close-reason.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import type { NativeMachine } from "./native/native-types.ts";
import { OpenHandles } from "./native/open-handles.ts";
import { outputPointer } from "./native/output-parameters.ts";
import { type WindowsNetworks, windowsNetworks } from "./networks.ts";
import { type VirtualDisks, virtualDisks } from "./virtual-disks.ts";

/** The Windows driver of the host contract, with further calls of Windows. */
export interface WindowsHost extends ComputeHost {
  readonly networks: WindowsNetworks;
  readonly service: ComputeService;
  readonly disks: VirtualDisks;
  readonly windows: WindowsGuestServices;
  createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<WindowsComputeSystem>;
  openComputeSystem(id: string, signal?: AbortSignal): Promise<WindowsComputeSystem>;
}

/** Dependencies of the driver. */
export interface HostParts {
  readonly machine: NativeMachine;
  readonly paths: LibraryPaths;
  readonly sockets: HostSockets;
  readonly processes: HostProcesses;
}

/** Longest interval of a timer. */
const longTime = 2 ** 31 - 1;

/** Throws Unavailable, with the name of the DLL, if one cannot be loaded. */
export function createWindowsHost(parts: HostParts): WindowsHost {
  return new WindowsComputeHost(parts);
}

class WindowsComputeHost implements WindowsHost, SystemHost {
  readonly core: ComputeCore;
  readonly networks: WindowsNetworks;
  readonly disks: VirtualDisks;
  readonly service: ComputeService;
  readonly windows: DriverGuestServices;
  readonly sockets: HostSockets;
  readonly processes: HostProcesses;
  readonly #operations: Operations;
  readonly #systems = new OpenHandles<WindowsComputeSystem>();
  /** Keeps the process alive while callbacks can arrive; callbacks alone do not. */
  readonly #alive: NodeJS.Timeout;
  #closed: Promise<void> | undefined;

  constructor({ machine, paths, sockets, processes }: HostParts) {
    this.core = loadComputeCore(machine, paths);
    this.networks = windowsNetworks(machine, paths);
    this.disks = virtualDisks(machine, paths);
    this.#operations = new Operations(this.core);
    this.service = computeService(this.core, this.#operations);
    this.windows = windowsGuestServices({ machine, paths, service: this.service, disks: this.disks });
    this.sockets = sockets;
    this.processes = processes;
    this.#alive = setInterval(() => {}, longTime);
  }

  createComputeSystem(
    id: string,
    document: ComputeSystemDocument,
    signal?: AbortSignal,
  ): Promise<WindowsComputeSystem> {
    const { library } = this.core;
    const subject = { operation: "create compute system", id };
    const text = JSON.stringify(document);
    const begin: Begin = async (handle) => {
      await this.#operations.perform(subject, (operation) =>
        library.run("HcsCreateComputeSystem", id, text, operation, null, handle),
      );
    };
    // The caller has no handle of this system, so nobody else would end it.
    const abandon: Abandon = (system) => system.terminate().finally(() => system.close());
    return unlessAborted(signal, subject, () => this.#adopt(id, begin, abandon), abandon);
  }

  openComputeSystem(id: string, signal?: AbortSignal): Promise<WindowsComputeSystem> {
    const { library } = this.core;
    const subject = { operation: "open compute system", id };
    const begin: Begin = async (handle) => {
      const hresult = await this.#operations.call(subject, () =>
        library.run("HcsOpenComputeSystem", id, allAccess, handle),
      );
      if (failed(hresult)) throw callError(subject, hresult);
    };
    const abandon: Abandon = (system) => system.close();
    return unlessAborted(signal, subject, () => this.#adopt(id, begin, abandon), abandon);
  }

  async enumerateComputeSystems(owner?: string, signal?: AbortSignal): Promise<readonly ComputeSystemProperties[]> {
    const { library } = this.core;
    const subject: Subject = { operation: "enumerate compute systems", id: owner ?? "of all owners" };
    const query = JSON.stringify({ Types: ["VirtualMachine"], ...(owner !== undefined && { Owners: [owner] }) });
    const answer = await unlessAborted(signal, subject, () =>
      this.#operations.perform(subject, (operation) => library.run("HcsEnumerateComputeSystems", query, operation)),
    );
    return readAnswer(subject, answer, readEnumeration);
  }

  grantVmAccess(computeSystemId: string, path: string, signal?: AbortSignal): Promise<void> {
    return this.service.grantVmAccess(computeSystemId, path, signal);
  }

  /** Closes all handles and cancels pending calls. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  lost(): void {
    this.#operations.fail(serviceLost);
    for (const system of this.#systems) system.lost();
  }

  forget(system: WindowsComputeSystem): void {
    this.#systems.forget(system);
  }

  #adopt(id: string, begin: Begin, abandon: Abandon): Promise<WindowsComputeSystem> {
    return this.#systems.make(async () => {
      const output = outputPointer();
      try {
        await begin(output);
      } catch (error) {
        // The service may return a handle even if the creation fails.
        const handle = output.readBigUInt64LE();
        if (handle !== 0n) await this.core.library.run("HcsCloseComputeSystem", handle);
        throw error;
      }
      return await WindowsComputeSystem.adopt(this, id, output.readBigUInt64LE(), abandon);
    });
  }

  async #close(): Promise<void> {
    try {
      await closeInOrder([
        // What was begun for a guest is undone by further calls.
        () => this.windows.close(),
        () => this.#operations.end(hostClosed),
        () => this.#systems.close(),
        () => this.networks.close(),
        () => this.disks.close(),
        () => this.sockets.close(),
      ]);
    } finally {
      clearInterval(this.#alive);
    }
  }
}

/** Closes each part, also after one that failed; rejects with the first failure. */
async function closeInOrder(parts: readonly (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const close of parts) await close().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

/** Writes a handle of a system into the buffer. */
type Begin = (handle: Buffer) => Promise<void>;
