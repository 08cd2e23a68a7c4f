import {
  type ComputeSystemDocument,
  type ComputeSystemProperties,
  checkComputeSystemDocument,
  hresults,
  SchemaError,
} from "@uvm-shim/hcs-schema";
import { abortedError, HostError, hostErrorOf } from "../host-error.ts";
import type { ComputeHost, ComputeSystem } from "../types.ts";
import { FakeAssignableDevices } from "./fake-assignments.ts";
import { FakeGuestServices } from "./fake-guest-services.ts";
import { FakeHandle } from "./fake-handle.ts";
import { FakeRefusal } from "./fake-refusal.ts";
import { bootLinux, type FakeBoot, FakeSystem } from "./fake-system.ts";

/** Runs one call; decides when, and whether its answer arrives. `detail` names the object. */
export type CallRunner = <T>(
  name: string,
  detail: string,
  signal: AbortSignal | undefined,
  effect: () => T,
) => Promise<T>;

/** How a fake compute service differs from one on which everything succeeds. */
export interface FakeServiceOptions {
  /** Runs every call, for tests that count calls or let them fail. By default all succeed, asynchronously. */
  readonly run?: CallRunner;
  /** Whether a file exists; by default all do. */
  readonly hasFile?: (path: string) => boolean;
  /** Number of functions of each assignable device, by instance path; by default unlimited. */
  readonly devices?: ReadonlyMap<string, number>;
  /** Existing CPU groups; by default all. */
  readonly hasCpuGroup?: (id: string) => boolean;
  /** Boot of the guests; by default they connect like Linux guests. */
  readonly boot?: FakeBoot;
}

/**
 * A compute service in memory, without files and guests. It passes the same contract as the drivers, so that tests on
 * it rely on nothing that real hosts do not offer.
 */
export class FakeComputeService {
  readonly systems = new Map<string, FakeSystem>();
  readonly assignable: FakeAssignableDevices;
  readonly guestServices: FakeGuestServices;
  readonly #options: FakeServiceOptions;
  readonly #handles = new Set<FakeHandle>();
  /** By path: the number of readers, or a single writer. */
  readonly #claims = new Map<string, number | "written">();
  #isLost = false;

  constructor(options: FakeServiceOptions = {}) {
    this.#options = options;
    this.assignable = new FakeAssignableDevices(options.devices);
    this.guestServices = new FakeGuestServices((path) => this.requireFile(path));
  }

  /** A client. Networks have their own contract and fake. */
  connect(): Omit<ComputeHost, "networks"> {
    const handles = new Set<FakeHandle>();
    const open = (system: FakeSystem): FakeHandle => {
      const handle = new FakeHandle(this, system);
      for (const known of [handles, this.#handles]) known.add(handle);
      return handle;
    };
    const subjectOf = (verb: string, id: string) => ({ operation: `${verb} compute system`, id });
    const ends: (() => void)[] = [];
    return {
      windows: this.guestServices.connect(
        (name, detail, signal, effect) =>
          this.call(name, detail, { operation: name, id: detail }, signal, () => {
            signal?.throwIfAborted();
            return effect();
          }),
        (end) => ends.push(end),
      ),
      createComputeSystem: (id: string, document: ComputeSystemDocument, signal?: AbortSignal) =>
        this.#opening("createComputeSystem", subjectOf("create", id), signal, () => open(this.create(id, document))),
      openComputeSystem: (id: string, signal?: AbortSignal) =>
        this.#opening("openComputeSystem", subjectOf("open", id), signal, () => open(this.find(id))),
      enumerateComputeSystems: (owner?: string, signal?: AbortSignal) =>
        this.call("enumerate", owner ?? "", subjectOf("enumerate", owner ?? ""), signal, () => this.#enumerate(owner)),
      grantVmAccess: (id: string, path: string, signal?: AbortSignal) =>
        this.call("grantVmAccess", path, subjectOf(`grant access to ${path} to`, id), signal, () =>
          this.requireFile(path),
        ),
      close: async () => {
        for (const handle of handles) handle.hostClosed();
        for (const end of ends.splice(0)) end();
      },
    };
  }

  /** Creates a system synchronously and without a handle. */
  create(id: string, document: ComputeSystemDocument): FakeSystem {
    const checked = checkComputeSystemDocument(document);
    if (this.systems.has(id))
      throw new FakeRefusal("HCS_E_SYSTEM_ALREADY_EXISTS", `compute system ${id} already exists`);
    const { KernelFilePath, InitRdPath } = checked.VirtualMachine.Chipset.LinuxKernelDirect ?? {};
    for (const path of [KernelFilePath, InitRdPath]) if (path !== undefined) this.requireFile(path);
    const system = new FakeSystem(this, id, checked, this.#options.boot ?? bootLinux);
    this.systems.set(id, system);
    return system;
  }

  find(id: string): FakeSystem {
    const system = this.systems.get(id);
    if (system === undefined) throw new FakeRefusal("HCS_E_SYSTEM_NOT_FOUND", `compute system ${id} does not exist`);
    return system;
  }

  /** Ends the service and everything it served. */
  lose(): void {
    this.#isLost = true;
    for (const handle of this.#handles) {
      handle.lose(new HostError("Unavailable", "lost the host", { operation: "wait for exit of", id: handle.id }));
    }
    this.systems.clear();
    this.#claims.clear();
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  forget(id: string): void {
    this.systems.delete(id);
  }

  hasCpuGroup(id: string): boolean {
    return this.#options.hasCpuGroup?.(id) ?? true;
  }

  requireFile(path: string): void {
    if (this.#options.hasFile?.(path) === false)
      throw new FakeRefusal("ERROR_FILE_NOT_FOUND", `${path} does not exist`);
  }

  /** Claims a disk as Windows does: many readers or one writer. Returns a function that releases the claim. */
  claim(path: string, readOnly: boolean): () => void {
    const held = this.#claims.get(path) ?? 0;
    if (held === "written" || (held > 0 && !readOnly)) {
      throw new FakeRefusal("ERROR_SHARING_VIOLATION", `${path} is in use`);
    }
    this.#claims.set(path, readOnly ? held + 1 : "written");
    return () => {
      const now = this.#claims.get(path);
      if (typeof now === "number" && now > 1) this.#claims.set(path, now - 1);
      else this.#claims.delete(path);
    };
  }

  /** Everything that exists or is held; empty when all was released. */
  leftovers(): readonly string[] {
    return [
      ...[...this.systems.values()].flatMap((system) => system.leftovers()),
      ...[...this.#handles].filter((handle) => handle.isOpen).map((handle) => `handle of ${handle.id}`),
      ...[...this.#claims.keys()].map((path) => `claim on ${path}`),
      ...this.guestServices.leftovers(),
      ...this.assignable.held.map((device) => `claim on ${device}`),
    ];
  }

  /** Runs one call of a client, and adds its operation and id to a failure. */
  async call<T>(
    name: string,
    detail: string,
    subject: { readonly operation: string; readonly id: string },
    signal: AbortSignal | undefined,
    effect: () => T,
  ): Promise<T> {
    const { run = soon } = this.#options;
    try {
      return await run(name, detail, signal, () => {
        if (this.#isLost) throw new HostError("Unavailable", "lost the host", subject);
        return this.perform(subject, effect);
      });
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw abortedError(signal, "the caller aborted", subject);
      throw error;
    }
  }

  /** Computes the answer for a client, synchronously. */
  perform<T>(subject: { readonly operation: string; readonly id: string }, effect: () => T): T {
    try {
      return effect();
    } catch (error) {
      if (error instanceof FakeRefusal) {
        throw hostErrorOf({ hresult: hresults[error.result], message: error.message }, subject);
      }
      if (error instanceof SchemaError) {
        throw hostErrorOf({ hresult: hresults.HCS_E_INVALID_JSON, message: error.message }, subject);
      }
      throw error;
    }
  }

  async #opening(
    name: string,
    subject: { readonly operation: string; readonly id: string },
    signal: AbortSignal | undefined,
    open: () => FakeHandle,
  ): Promise<ComputeSystem> {
    let opened: FakeHandle | undefined;
    try {
      return await this.call(name, subject.id, subject, signal, () => {
        opened = open();
        return opened;
      });
    } catch (error) {
      // Like a driver, closes a handle that arrives after an abort, and ends a system it created.
      if (opened !== undefined && name === "createComputeSystem") opened.system.end("ForcedExit");
      opened?.letGo();
      throw error;
    }
  }

  #enumerate(owner: string | undefined): readonly ComputeSystemProperties[] {
    const all = [...this.systems.values()].map((system) => system.properties);
    return owner === undefined ? all : all.filter((properties) => properties.Owner === owner);
  }
}

/** Calls of a host are always asynchronous; an aborted call still takes effect. */
const soon: CallRunner = async (_name, _detail, signal, effect) => {
  await Promise.resolve();
  const result = effect();
  signal?.throwIfAborted();
  return result;
};
