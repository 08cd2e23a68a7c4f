import { randomUUID } from "node:crypto";
import {
  checkGuid,
  checkHcnEndpoint,
  checkHcnNamespace,
  checkHcnNetwork,
  type HcnEndpoint,
  type HcnEndpointSettings,
  type HcnModifyNamespaceRequest,
  type HcnNamespace,
  type HcnNamespaceSettings,
  type HcnNetwork,
  type HcnNetworkSettings,
  type HcnObjectKind,
  SchemaError,
} from "@uvm-shim/hcs-schema";
import { HostError } from "../host-error.ts";
import type { HostNetworks } from "../types.ts";
import { failed, refusal, type Subject, understood, unlessAborted } from "./compute/call-results.ts";
import { HostCallbacks } from "./native/callbacks.ts";
import { hostClosed } from "./native/close-reason.ts";
import { computeNetworkFunctions } from "./native/computenetwork-functions.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "./native/native-types.ts";
import { ole32Functions } from "./native/ole32-functions.ts";
import { OpenHandles } from "./native/open-handles.ts";
import { HostTexts, pointerRoom } from "./native/output-parameters.ts";
import { Calls } from "./native/pending-calls.ts";
import { guidBytes } from "./native/structures.ts";

/** The version of the documents; those without one are taken for older ones. */
const SchemaVersion = { Major: 2, Minor: 0 } as const;

/** HostComputeQuery: what there is, without filters. */
const query = JSON.stringify({ SchemaVersion, Flags: 0 });

/** The functions of each kind of object, by what they do. */
const functionsOf = {
  network: {
    open: "HcnOpenNetwork",
    modify: "HcnModifyNetwork",
    query: "HcnQueryNetworkProperties",
    enumerate: "HcnEnumerateNetworks",
    remove: "HcnDeleteNetwork",
    close: "HcnCloseNetwork",
  },
  endpoint: {
    open: "HcnOpenEndpoint",
    modify: "HcnModifyEndpoint",
    query: "HcnQueryEndpointProperties",
    enumerate: "HcnEnumerateEndpoints",
    remove: "HcnDeleteEndpoint",
    close: "HcnCloseEndpoint",
  },
  namespace: {
    open: "HcnOpenNamespace",
    modify: "HcnModifyNamespace",
    query: "HcnQueryNamespaceProperties",
    enumerate: "HcnEnumerateNamespaces",
    remove: "HcnDeleteNamespace",
    close: "HcnCloseNamespace",
  },
} as const satisfies { readonly [Kind in HcnObjectKind]: unknown };

/** The host's networks, and what tools and tests do with them besides. */
export interface WindowsNetworks extends HostNetworks {
  /** GUIDs of all objects of a kind, in lower case. */
  enumerate(kind: HcnObjectKind, signal?: AbortSignal): Promise<readonly string[]>;
  /** The request is a ModifySettingRequest of the HCN schema. */
  modify(kind: HcnObjectKind, id: string, request: object, signal?: AbortSignal): Promise<void>;
  /** Has the listener called with the type of each notification (HCN_NOTIFICATIONS). */
  listen(listener: (type: number) => void, signal?: AbortSignal): Promise<NetworkNotifications>;
  /** Ends the notifications, and resolves when every call has returned. */
  close(): Promise<void>;
}

export interface NetworkNotifications {
  /** Repeatable. */
  close(): Promise<void>;
}

export function windowsNetworks(machine: NativeMachine, paths: LibraryPaths): WindowsNetworks {
  return new ComputeNetwork(machine, paths);
}

class ComputeNetwork implements WindowsNetworks {
  readonly #library: NativeLibrary<typeof computeNetworkFunctions>;
  readonly #texts: HostTexts;
  readonly #callbacks: HostCallbacks;
  readonly #calls = new Calls();
  readonly #notifications = new OpenHandles<NetworkNotifications>();

  constructor(machine: NativeMachine, paths: LibraryPaths) {
    const memory = machine.library(paths.ole32, ole32Functions);
    this.#library = machine.library(paths.computenetwork, computeNetworkFunctions);
    this.#texts = new HostTexts(machine, (address) => memory.call("CoTaskMemFree", address));
    this.#callbacks = HostCallbacks.of(machine);
  }

  createNetwork(settings: HcnNetworkSettings, signal?: AbortSignal): Promise<HcnNetwork> {
    return this.#create("network", settings, readNetwork, signal, (id, document, room, record) =>
      this.#library.run("HcnCreateNetwork", id, document, room, record),
    );
  }

  queryNetwork(id: string, signal?: AbortSignal): Promise<HcnNetwork> {
    return this.#query("network", id, readNetwork, signal);
  }

  deleteNetwork(id: string, signal?: AbortSignal): Promise<void> {
    return this.#delete("network", id, signal);
  }

  createEndpoint(network: string, settings: HcnEndpointSettings, signal?: AbortSignal): Promise<HcnEndpoint> {
    const subject = { operation: "open network", id: network };
    return this.#create("endpoint", settings, readEndpoint, signal, (id, document, room, record) =>
      this.#with("network", subject, (handle) =>
        this.#library.run("HcnCreateEndpoint", handle, id, document, room, record),
      ),
    );
  }

  queryEndpoint(id: string, signal?: AbortSignal): Promise<HcnEndpoint> {
    return this.#query("endpoint", id, readEndpoint, signal);
  }

  deleteEndpoint(id: string, signal?: AbortSignal): Promise<void> {
    return this.#delete("endpoint", id, signal);
  }

  createNamespace(settings: HcnNamespaceSettings, signal?: AbortSignal): Promise<HcnNamespace> {
    return this.#create("namespace", settings, readNamespace, signal, (id, document, room, record) =>
      this.#library.run("HcnCreateNamespace", id, document, room, record),
    );
  }

  queryNamespace(id: string, signal?: AbortSignal): Promise<HcnNamespace> {
    return this.#query("namespace", id, readNamespace, signal);
  }

  deleteNamespace(id: string, signal?: AbortSignal): Promise<void> {
    return this.#delete("namespace", id, signal);
  }

  addNamespaceEndpoint(namespace: string, endpoint: string, signal?: AbortSignal): Promise<void> {
    return this.#modifyNamespace("Add", namespace, endpoint, signal);
  }

  removeNamespaceEndpoint(namespace: string, endpoint: string, signal?: AbortSignal): Promise<void> {
    return this.#modifyNamespace("Remove", namespace, endpoint, signal);
  }

  modify(kind: HcnObjectKind, id: string, request: object, signal?: AbortSignal): Promise<void> {
    return this.#modify(kind, { operation: `modify ${kind}`, id }, request, signal);
  }

  enumerate(kind: HcnObjectKind, signal?: AbortSignal): Promise<readonly string[]> {
    const subject = { operation: `enumerate ${kind}s`, id: "all" };
    return this.#begin(subject, signal, async () => {
      const room = pointerRoom();
      const document = await this.#answer(subject, room, (record) =>
        this.#library.run(functionsOf[kind].enumerate, query, room, record),
      );
      return understood(subject, document, readIds);
    });
  }

  listen(listener: (type: number) => void, signal?: AbortSignal): Promise<NetworkNotifications> {
    const subject = { operation: "listen for notifications of", id: "the network service" };
    const work = (): Promise<NetworkNotifications> => this.#notifications.make(() => this.#listen(subject, listener));
    return this.#begin(subject, signal, work, (made) => made.close());
  }

  async close(): Promise<void> {
    await this.#calls.end(hostClosed);
    await this.#notifications.close();
  }

  async #listen(subject: Subject, listener: (type: number) => void): Promise<NetworkNotifications> {
    const subscription = this.#callbacks.onNotification(listener);
    const room = pointerRoom();
    try {
      const hresult = await this.#library.run(
        "HcnRegisterServiceCallback",
        this.#callbacks.notificationAddress,
        subscription.context,
        room,
      );
      if (failed(hresult)) throw refusal(subject, hresult);
    } catch (error) {
      subscription.end();
      throw error;
    }
    let closed: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      // It waits for a notification that is on its way.
      await this.#library.run("HcnUnregisterServiceCallback", room.readBigUInt64LE());
      subscription.end();
      this.#notifications.forget(notifications);
    };
    const notifications: NetworkNotifications = {
      close: () => {
        closed ??= close();
        return closed;
      },
    };
    return notifications;
  }

  #create<Properties extends { readonly ID: string }>(
    kind: HcnObjectKind,
    settings: { readonly ID?: string; readonly Name?: string },
    read: (value: unknown) => Properties,
    signal: AbortSignal | undefined,
    create: (id: Buffer, document: string, room: Buffer, record: Buffer) => Promise<number>,
  ): Promise<Properties> {
    const subject = { operation: `create ${kind}`, id: settings.ID ?? settings.Name ?? "without a name" };
    // An id of our own, since what cannot be asked for its id could not be deleted either.
    const ID = settings.ID ?? randomUUID();
    const work = async (): Promise<Properties> => {
      const id = guidOf(subject, ID);
      const document = JSON.stringify({ SchemaVersion, ...settings, ID });
      const room = pointerRoom();
      await this.#ask(subject, (record) => create(id, document, room, record));
      try {
        return await this.#closing(kind, room, (handle) => this.#properties(kind, subject, handle, read));
      } catch (error) {
        await this.#remove(kind, subject, ID).catch(() => {});
        throw error;
      }
    };
    // Nobody knows of this object, so nobody would delete it.
    return this.#begin(subject, signal, work, () => this.#delete(kind, ID));
  }

  #query<Properties>(
    kind: HcnObjectKind,
    id: string,
    read: (value: unknown) => Properties,
    signal?: AbortSignal,
  ): Promise<Properties> {
    const subject = { operation: `query ${kind}`, id };
    return this.#begin(subject, signal, () =>
      this.#with(kind, subject, (handle) => this.#properties(kind, subject, handle, read)),
    );
  }

  #delete(kind: HcnObjectKind, id: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: `delete ${kind}`, id };
    return this.#begin(subject, signal, () => this.#remove(kind, subject, id));
  }

  async #remove(kind: HcnObjectKind, subject: Subject, id: string): Promise<void> {
    const guid = guidOf(subject, id);
    await this.#ask(subject, (record) => this.#library.run(functionsOf[kind].remove, guid, record));
  }

  #modifyNamespace(
    RequestType: HcnModifyNamespaceRequest["RequestType"],
    namespace: string,
    EndpointId: string,
    signal?: AbortSignal,
  ): Promise<void> {
    const request: HcnModifyNamespaceRequest = { ResourceType: "Endpoint", RequestType, Settings: { EndpointId } };
    const subject = { operation: `${RequestType} endpoint ${EndpointId} of namespace`, id: namespace };
    return this.#modify("namespace", subject, request, signal);
  }

  #modify(kind: HcnObjectKind, subject: Subject, request: object, signal?: AbortSignal): Promise<void> {
    const document = JSON.stringify(request);
    return this.#begin(subject, signal, () =>
      this.#with(kind, subject, (handle) =>
        this.#ask(subject, (record) => this.#library.run(functionsOf[kind].modify, handle, document, record)),
      ),
    );
  }

  async #properties<Properties>(
    kind: HcnObjectKind,
    subject: Subject,
    handle: bigint,
    read: (value: unknown) => Properties,
  ): Promise<Properties> {
    const room = pointerRoom();
    const document = await this.#answer(subject, room, (record) =>
      this.#library.run(functionsOf[kind].query, handle, query, room, record),
    );
    return understood(subject, document, read);
  }

  /** Opens the object that the subject names for the length of the work. */
  async #with<Value>(kind: HcnObjectKind, subject: Subject, work: (handle: bigint) => Promise<Value>): Promise<Value> {
    const guid = guidOf(subject, subject.id);
    const room = pointerRoom();
    await this.#ask(subject, (record) => this.#library.run(functionsOf[kind].open, guid, room, record));
    return await this.#closing(kind, room, work);
  }

  async #closing<Value>(kind: HcnObjectKind, room: Buffer, work: (handle: bigint) => Promise<Value>): Promise<Value> {
    const handle = room.readBigUInt64LE();
    try {
      return await work(handle);
    } finally {
      await this.#library.run(functionsOf[kind].close, handle);
    }
  }

  /** A call with a result in the room, which is freed whatever the call says. */
  async #answer(
    subject: Subject,
    room: Buffer,
    call: (record: Buffer) => Promise<number>,
  ): Promise<string | undefined> {
    try {
      await this.#ask(subject, call);
    } catch (error) {
      this.#texts.take(room);
      throw error;
    }
    return this.#texts.take(room);
  }

  async #ask(subject: Subject, call: (record: Buffer) => Promise<number>): Promise<void> {
    const record = pointerRoom();
    const hresult = await call(record);
    const told = this.#texts.take(record);
    if (failed(hresult)) throw refusal(subject, hresult, told);
  }

  #begin<Value>(
    subject: Subject,
    signal: AbortSignal | undefined,
    work: () => Promise<Value>,
    abandon?: (value: Value) => Promise<void>,
  ): Promise<Value> {
    return unlessAborted(signal, subject, () => this.#calls.call(subject, work), abandon);
  }
}

function guidOf(subject: Subject, id: string): Buffer {
  try {
    return guidBytes(id);
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new HostError("InvalidArgument", cause.message, { ...subject, cause });
  }
}

/** GUIDs have no case, and the service writes capitals. */
const lower = <Text extends string | undefined>(guid: Text): Text => guid?.toLowerCase() as Text;

function readNetwork(value: unknown): HcnNetwork {
  const network = checkHcnNetwork(value, "network");
  return { ...network, ID: lower(network.ID) };
}

function readEndpoint(value: unknown): HcnEndpoint {
  const endpoint = checkHcnEndpoint(value, "endpoint");
  const { ID, HostComputeNetwork: network, HostComputeNamespace: namespace } = endpoint;
  return {
    ...endpoint,
    ID: lower(ID),
    HostComputeNetwork: lower(network),
    ...(namespace !== undefined && { HostComputeNamespace: lower(namespace) }),
  };
}

function readNamespace(value: unknown): HcnNamespace {
  const namespace = checkHcnNamespace(value, "namespace");
  return { ...namespace, ID: lower(namespace.ID) };
}

function readIds(value: unknown): readonly string[] {
  const ids: readonly unknown[] = Array.isArray(value) ? value : [];
  return ids.map((id) => lower(checkGuid(id, "id")));
}
