import type { Socket } from "node:net";
import {
  checkEmulatedHostRequest,
  type EmulatedHandle,
  type EmulatedHostMessage,
  type EmulatedHostRequest,
  type EmulatedHostResults,
  emulatedHostMaximumLineBytes,
  emulatedHostProtocolVersion,
  JsonLines,
} from "@uvm-shim/host-protocol";
import type { EmulatedHost } from "../emulated-host.ts";
import { asFailure, HcsFailure } from "../hcs-failure.ts";
import type { ComputeSystem, HandleOwner } from "../system/compute-system.ts";

/** Limit of unread answers, after which a client is disconnected. */
const largestBacklogBytes = 4 * emulatedHostMaximumLineBytes;

interface OpenHandle {
  readonly system: ComputeSystem;
  readonly owner: HandleOwner;
}

/** One client. Requests are answered as they complete; handles close with the connection. */
export class Session {
  readonly #host: EmulatedHost;
  readonly #socket: Socket;
  readonly #lines = new JsonLines(emulatedHostMaximumLineBytes);
  readonly #handles = new Map<number, OpenHandle>();
  /** Systems for which this client has joined networks. They may not exist yet. */
  readonly #networksFor = new Set<string>();
  /** Ends of the redirections of hvsockets that this client has made, by handle. */
  readonly #redirections = new Map<number, () => void>();
  #nextHandle = 1;

  constructor(host: EmulatedHost, socket: Socket) {
    this.#host = host;
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#closeHandles();
      for (const system of this.#networksFor) this.#host.abandonNetworks(system);
      for (const end of this.#redirections.values()) end();
    });
  }

  #read(chunk: Buffer): void {
    let lines: readonly string[];
    try {
      lines = this.#lines.push(chunk);
    } catch {
      // The end of an oversized line cannot be found.
      this.#socket.destroy();
      return;
    }
    for (const line of lines) this.#receive(line);
  }

  #receive(line: string): void {
    let id: number | undefined;
    try {
      const value: unknown = JSON.parse(line);
      id = idOf(value);
      if (id === undefined) throw new SyntaxError("invalid request: expected an id");
      const request = checkEmulatedHostRequest(value);
      this.#answer(request.id, this.#perform(request));
    } catch (error) {
      // Without an id the request cannot be answered, and the stream is not trusted any further.
      if (id === undefined) this.#socket.destroy();
      else this.#answer(id, Promise.reject(error));
    }
  }

  #answer(id: number, outcome: Promise<unknown>): void {
    outcome.then(
      (result) => this.#send({ kind: "result", id, result }),
      (error: unknown) => {
        const { hresult, message, events } = asFailure(error);
        this.#send({ kind: "error", id, error: { hresult, message, ...(events.length === 0 ? {} : { events }) } });
      },
    );
  }

  #send(message: EmulatedHostMessage): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(`${JSON.stringify(message)}\n`);
    if (this.#socket.writableLength > largestBacklogBytes) this.#socket.destroy();
  }

  async #perform(request: EmulatedHostRequest): Promise<EmulatedHostResults[EmulatedHostRequest["call"]]> {
    switch (request.call) {
      case "hello":
        return { version: emulatedHostProtocolVersion };
      case "create":
        return this.#open(this.#host.create(request.arguments.system, request.arguments.document));
      case "open":
        return this.#open(this.#host.find(request.arguments.system));
      case "enumerate":
        return { systems: this.#host.enumerate(request.arguments.owner) };
      case "grantVmAccess":
        this.#host.grantVmAccess(request.arguments.path);
        return {};
      case "freeze":
        await this.#host.find(request.arguments.system).freeze(request.arguments.isFrozen);
        return {};
      case "start":
        await this.#handle(request.arguments.handle).system.start();
        return {};
      case "shutdown":
        await this.#handle(request.arguments.handle).system.shutdown();
        return {};
      case "terminate":
        await this.#handle(request.arguments.handle).system.terminate();
        return {};
      case "modify":
        await this.#handle(request.arguments.handle).system.modify(request.arguments.request);
        return {};
      case "properties":
        return this.#handle(request.arguments.handle).system.properties(request.arguments.types);
      case "workingSet":
        return { bytes: this.#handle(request.arguments.handle).system.workingSetBytes };
      case "joinControlGroup": {
        const { system, path, pid } = request.arguments;
        await this.#host.joinControlGroup(system, path, pid);
        return {};
      }
      case "createNetworkObject": {
        const { kind, settings, network } = request.arguments;
        return { properties: await this.#host.networks.create(kind, settings, network) };
      }
      case "queryNetworkObject":
        return { properties: this.#host.networks.query(request.arguments.kind, request.arguments.object) };
      case "deleteNetworkObject":
        await this.#host.networks.delete(request.arguments.kind, request.arguments.object);
        return {};
      case "modifyNamespace":
        await this.#host.networks.modifyNamespace(request.arguments.namespace, request.arguments.request);
        return {};
      case "joinNetworkNamespace": {
        const { system, path } = request.arguments;
        this.#networksFor.add(system);
        const namespace = await this.#host.joinNetworkNamespace(system, path);
        // The client has disconnected meanwhile.
        if (this.#socket.destroyed) this.#host.abandonNetworks(system);
        return { namespace };
      }
      case "addCredentialGuard": {
        const { container, specification } = request.arguments;
        return this.#host.guestServices.addCredentialGuard(container, specification);
      }
      case "credentialGuards":
        return { instances: this.#host.guestServices.credentialGuards };
      case "removeCredentialGuard":
        this.#host.guestServices.removeCredentialGuard(request.arguments.container);
        return {};
      case "redirectHvsockets":
        return { handle: this.#redirect(request.arguments.system, request.arguments.vm) };
      case "closeRedirection":
        this.#endRedirection(request.arguments.handle);
        return {};
      case "layerId":
        return { id: this.#host.guestServices.layerId(request.arguments.name) };
      case "createScratchLayer":
        this.#host.guestServices.createScratchLayer(request.arguments.path, request.arguments.parents);
        return {};
      case "setDiskIdentifier":
        this.#host.guestServices.setDiskIdentifier(request.arguments.path, request.arguments.identifier);
        return {};
      case "grantVmGroupAccess":
        this.#host.guestServices.grantVmGroupAccess(request.arguments.path);
        return {};
      case "timeZone":
        return this.#host.guestServices.timeZone;
      case "close": {
        const { system, owner } = this.#handle(request.arguments.handle);
        this.#handles.delete(request.arguments.handle);
        system.closeHandle(owner);
        return {};
      }
    }
  }

  #open(system: ComputeSystem): EmulatedHandle {
    const handle = this.#nextHandle++;
    const owner: HandleOwner = {
      // The answer with the handle must be sent first.
      systemCrashed: (report) => setImmediate(() => this.#send({ kind: "crashed", handle, report })),
      systemExited: (status) => setImmediate(() => this.#send({ kind: "exited", handle, status })),
    };
    this.#handles.set(handle, { system, owner });
    system.openHandle(owner);
    return { handle, runtimeId: system.runtimeId, vsockBase: system.vsockBase };
  }

  #handle(handle: number): OpenHandle {
    const open = this.#handles.get(handle);
    if (open === undefined) throw new HcsFailure("E_INVALIDARG", `handle ${handle} is not open`);
    return open;
  }

  #redirect(system: string, vm: string): number {
    const end = this.#host.guestServices.redirectHvsockets(system, vm);
    const handle = this.#nextHandle++;
    this.#redirections.set(handle, end);
    return handle;
  }

  #endRedirection(handle: number): void {
    const end = this.#redirections.get(handle);
    if (end === undefined) throw new HcsFailure("E_INVALIDARG", `handle ${handle} is no open redirection`);
    this.#redirections.delete(handle);
    end();
  }

  #closeHandles(): void {
    for (const { system, owner } of this.#handles.values()) system.closeHandle(owner);
    this.#handles.clear();
  }
}

function idOf(value: unknown): number | undefined {
  const id = (value as { id?: unknown } | null)?.id;
  return typeof id === "number" && Number.isSafeInteger(id) && id >= 0 ? id : undefined;
}
