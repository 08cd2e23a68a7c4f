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
} from "@uvm-shim/hcs-schema";
import type { HostNetworks } from "../types.ts";
import { callError, failed, guidOf, readAnswer, type Subject, unlessAborted } from "./compute/call-results.ts";
import { HostCallbacks } from "./native/callbacks.ts";
import { hostClosed } from "./native/close-reason.ts";
import { computeNetworkFunctions } from "./native/computenetwork-functions.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "./native/native-types.ts";
import { ole32Functions } from "./native/ole32-functions.ts";
import { OpenHandles } from "./native/open-handles.ts";
import { AllocatedTexts, outputPointer } from "./native/output-parameters.ts";
import { PendingCalls } from "./native/pending-calls.ts";

/** Schema version of the documents; a document without one counts as an older version. */
const SchemaVersion = { Major: 2, Minor: 0 } as const;

/** HostComputeQuery without filters. */
const query = JSON.stringify({ SchemaVersion, Flags: 0 });

/** The functions for each kind of object, by operation. */
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

/** Networks of the host, with further calls for tools and tests. */
export interface WindowsNetworks extends HostNetworks {
  /** GUIDs of all objects of a kind, in lower case. */
  enumerate(kind: HcnObjectKind, signal?: AbortSignal): Promise<readonly string[]>;
  /** The request is a ModifySettingRequest of the HCN schema. */
  modify(kind: HcnObjectKind, id: string, request: object, signal?: AbortSignal): Promise<void>;
  /** Calls the listener with the type of each notification (HCN_NOTIFICATIONS). */
  listen(listener: (type: number) => void, signal?: AbortSignal): Promise<NetworkNotifications>;
  /** Ends the notifications; resolves when all calls have returned. */
  close(): Promise<void>;
}

/** A subscription to what the network service reports. */
export interface NetworkNotifications {
  /** Idempotent. */
  close(): Promise<void>;
}

/** The networks of Windows, by computenetwork.dll. */
export function windowsNetworks(machine: NativeMachine, paths: LibraryPaths): WindowsNetworks {
  return new ComputeNetwork(machine, paths);
}

class ComputeNetwork implements WindowsNetworks {
  readonly #library: NativeLibrary<typeof computeNetworkFunctions>;
  readonly #texts: AllocatedTexts;
  readonly #callbacks: HostCallbacks;
  readonly #calls = new PendingCalls();
  readonly #notifications = new OpenHandles<NetworkNotifications>();

  constructor(machine: NativeMachine, paths: LibraryPaths) {
    const memory = machine.library(paths.ole32, ole32Functions);
    this.#library = machine.library(paths.computenetwork, computeNetworkFunctions);
    this.#texts = new AllocatedTexts(machine, (address) => memory.call("CoTaskMemFree", address));
    this.#callbacks = HostCallbacks.of(machine);
  }

  createNetwork(settings: HcnNetworkSettings, signal?: AbortSignal): Promise<HcnNetwork> {
    return this.#create("network", settings, readNetwork, signal, (id, document, output, record) =>
      this.#library.run("HcnCreateNetwork", id, document, output, record),
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
    return this.#create("endpoint", settings, readEndpoint, signal, (id, document, output, record) =>
      this.#with("network", subject, (handle) =>
        this.#library.run("HcnCreateEndpoint", handle, id, document, output, record),
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
    return this.#create("namespace", settings, readNamespace, signal, (id, document, output, record) =>
      this.#library.run("HcnCreateNamespace", id, document, output, record),
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
      const output = outputPointer();
      const document = await this.#answer(subject, output, (record) =>
        this.#library.run(functionsOf[kind].enumerate, query, output, record),
      );
      return readAnswer(subject, document, readIds);
    });
  }

  listen(listener: (type: number) => void, signal?: AbortSignal): Promise<NetworkNotifications> {
    const subject = { operation: "listen for notifications of", id: "network service" };
    const work = (): Promise<NetworkNotifications> => this.#notifications.make(() => this.#listen(subject, listener));
    return this.#begin(subject, signal, work, (made) => made.close());
  }

  async close(): Promise<void> {
    await this.#calls.end(hostClosed);
    await this.#notifications.close();
  }

  async #listen(subject: Subject, listener: (type: number) => void): Promise<NetworkNotifications> {
    const subscription = this.#callbacks.onNotification(listener);
    const output = outputPointer();
    try {
      const hresult = await this.#library.run(
        "HcnRegisterServiceCallback",
        this.#callbacks.notificationAddress,
        subscription.context,
        output,
      );
      if (failed(hresult)) throw callError(subject, hresult);
    } catch (error) {
      subscription.end();
      throw error;
    }
    let closed: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      // This call waits for running notifications.
      await this.#library.run("HcnUnregisterServiceCallback", output.readBigUInt64LE());
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
    create: (id: Buffer, document: string, output: Buffer, record: Buffer) => Promise<number>,
  ): Promise<Properties> {
    const subject = { operation: `create ${kind}`, id: settings.ID ?? settings.Name ?? "without id and name" };
    // The id is chosen here, so that the object can be deleted even if querying it fails.
    const ID = settings.ID ?? randomUUID();
    const work = async (): Promise<Properties> => {
      const id = guidOf(subject, ID);
      const document = JSON.stringify({ SchemaVersion, ...settings, ID });
      const output = outputPointer();
      await this.#ask(subject, (record) => create(id, document, output, record));
      try {
        return await this.#closing(kind, output, (handle) => this.#properties(kind, subject, handle, read));
      } catch (error) {
        await this.#remove(kind, subject, ID).catch(() => {});
        throw error;
      }
    };
    // The caller does not know this object, so nobody else would delete it.
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
    const output = outputPointer();
    const document = await this.#answer(subject, output, (record) =>
      this.#library.run(functionsOf[kind].query, handle, query, output, record),
    );
    return readAnswer(subject, document, read);
  }

  /** Opens the object that the subject names, for the duration of the work. */
  async #with<Value>(kind: HcnObjectKind, subject: Subject, work: (handle: bigint) => Promise<Value>): Promise<Value> {
    const guid = guidOf(subject, subject.id);
    const output = outputPointer();
    await this.#ask(subject, (record) => this.#library.run(functionsOf[kind].open, guid, output, record));
    return await this.#closing(kind, output, work);
  }

  async #closing<Value>(kind: HcnObjectKind, output: Buffer, work: (handle: bigint) => Promise<Value>): Promise<Value> {
    const handle = output.readBigUInt64LE();
    try {
      return await work(handle);
    } finally {
      await this.#library.run(functionsOf[kind].close, handle);
    }
  }

  /** Makes a call with a text as its output parameter, and frees the text even if the call fails. */
  async #answer(
    subject: Subject,
    output: Buffer,
    call: (record: Buffer) => Promise<number>,
  ): Promise<string | undefined> {
    try {
      await this.#ask(subject, call);
    } catch (error) {
      this.#texts.take(output);
      throw error;
    }
    return this.#texts.take(output);
  }

  async #ask(subject: Subject, call: (record: Buffer) => Promise<number>): Promise<void> {
    const record = outputPointer();
    const hresult = await call(record);
    const document = this.#texts.take(record);
    if (failed(hresult)) throw callError(subject, hresult, document);
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

/** GUIDs are case-insensitive; the service writes them in upper case. */
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
