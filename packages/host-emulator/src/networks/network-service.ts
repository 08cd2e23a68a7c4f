import { randomUUID } from "node:crypto";
import {
  checkGuid,
  checkHcnEndpointSettings,
  checkHcnModifyNamespaceRequest,
  checkHcnNamespaceSettings,
  checkHcnNetworkSettings,
  type HcnEndpoint,
  type HcnEndpointSettings,
  type HcnNamespace,
  type HcnNamespaceResource,
  type HcnNamespaceSettings,
  type HcnNetwork,
  type HcnObjectKind,
  parseMacAddress,
  SchemaError,
} from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";
import { addressesOf, checkAddresses, checkSubnets } from "./addresses.ts";
import type { VirtualSwitch, VirtualSwitches } from "./switches.ts";

interface Network {
  readonly properties: HcnNetwork;
  /** Connection of an adopted network; absent for a switch of this host. */
  readonly leadsTo?: VirtualSwitch;
}

interface Endpoint {
  readonly properties: HcnEndpoint;
  readonly network: string;
  namespace: string | undefined;
  attachment: { readonly disconnect: () => void } | undefined;
}

interface Namespace {
  readonly number: number;
  readonly settings: HcnNamespaceSettings;
  /** Endpoint ids in the order of their addition. */
  readonly endpoints: Set<string>;
}

/** A NIC of a VM on an endpoint. */
export interface Attachment {
  /** MAC address with colons. */
  readonly macAddress: string;
  readonly switch: VirtualSwitch;
  /** Releases the endpoint. Idempotent. */
  release(): void;
}

/** A configured interface of a namespace that was made elsewhere. */
export interface AdoptedInterface {
  readonly name: string;
  readonly settings: HcnEndpointSettings;
  readonly leadsTo: VirtualSwitch;
}

/** HCN objects for a namespace that was made elsewhere. */
export interface AdoptedNamespace {
  readonly id: string;
  /** Deletes the objects. Idempotent. */
  release(): void;
}

/** What a `NetworkService` is made from. */
export interface NetworkServiceOptions {
  readonly switches: VirtualSwitches;
  /** Generates ids for objects whose settings have none. */
  readonly newGuid?: () => string;
}

const schemaVersion = { Major: 2, Minor: 0 } as const;
const longestMacSuffix = 0xffffff;

/** The Host Compute Network service of the emulated host. It fails with the HRESULTs of the real service. */
export class NetworkService {
  readonly #switches: VirtualSwitches;
  readonly #newGuid: () => string;
  readonly #networks = new Map<string, Network>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #namespaces = new Map<string, Namespace>();
  #compartments = 1;
  #macs = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ switches, newGuid = randomUUID }: NetworkServiceOptions) {
    this.#switches = switches;
    this.#newGuid = newGuid;
  }

  get isEmpty(): boolean {
    return this.#networks.size === 0 && this.#namespaces.size === 0;
  }

  /** An endpoint is made in a network, which is named beside its settings. */
  create(kind: HcnObjectKind, settings: unknown, network?: string): Promise<HcnNetwork | HcnEndpoint | HcnNamespace> {
    return this.#inTurn(async () => {
      switch (kind) {
        case "network":
          return await this.#createNetwork(settings);
        case "endpoint":
          return this.#createEndpoint(settings, network ?? "");
        case "namespace":
          return this.#createNamespace(settings);
      }
    });
  }

  query(kind: HcnObjectKind, object: string): HcnNetwork | HcnEndpoint | HcnNamespace {
    const id = guid(object);
    switch (kind) {
      case "network":
        return this.#network(id).properties;
      case "endpoint":
        return endpointProperties(this.#endpoint(id));
      case "namespace":
        return namespaceProperties(id, this.#namespace(id));
    }
  }

  delete(kind: HcnObjectKind, object: string): Promise<void> {
    return this.#inTurn(async () => {
      const id = guid(object);
      switch (kind) {
        case "network":
          return await this.#deleteNetwork(id);
        case "endpoint":
          return this.#deleteEndpoint(id);
        case "namespace":
          for (const endpoint of this.#namespace(id).endpoints) this.#endpoint(endpoint).namespace = undefined;
          this.#namespaces.delete(id);
      }
    });
  }

  modifyNamespace(object: string, request: unknown): Promise<void> {
    return this.#inTurn(async () => {
      const id = guid(object);
      const { endpoints } = this.#namespace(id);
      const { RequestType, Settings } = checked(() => checkHcnModifyNamespaceRequest(request));
      const endpointId = guid(Settings.EndpointId);
      const endpoint = this.#endpoint(endpointId);
      if (RequestType === "Add") {
        if (endpoint.namespace !== undefined) {
          const message = `endpoint ${endpointId} is already in namespace ${endpoint.namespace}`;
          throw new HcsFailure("HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS", message);
        }
        endpoint.namespace = id;
        endpoints.add(endpointId);
      } else {
        if (!endpoints.delete(endpointId)) {
          throw new HcsFailure("ERROR_NOT_FOUND", `endpoint ${endpointId} is not in namespace ${id}`);
        }
        endpoint.namespace = undefined;
      }
    });
  }

  /** Attaches a NIC to an endpoint. Calls `disconnect` if the endpoint is deleted before the NIC. */
  attach(object: string, macAddress: string | undefined, disconnect: () => void): Attachment {
    const id = guid(object);
    const endpoint = this.#endpoint(id);
    if (endpoint.namespace === undefined) {
      throw new HcsFailure("HCN_E_INVALID_ENDPOINT", `endpoint ${id} is not in a namespace`);
    }
    if (endpoint.attachment !== undefined) {
      throw new HcsFailure("HCN_E_ENDPOINT_ALREADY_ATTACHED", `endpoint ${id} already has a NIC`);
    }
    const own = parseMacAddress(endpoint.properties.MacAddress ?? "") ?? "";
    if (macAddress !== undefined && parseMacAddress(macAddress) !== own) {
      const { MacAddress } = endpoint.properties;
      throw new HcsFailure(
        "E_INVALIDARG",
        `Settings.MacAddress: expected the endpoint's ${MacAddress}, got ${macAddress}`,
      );
    }
    const attachment = { disconnect };
    endpoint.attachment = attachment;
    return {
      macAddress: own,
      switch: this.#networks.get(endpoint.network)?.leadsTo ?? this.#switches.of(endpoint.network),
      release: () => {
        if (endpoint.attachment === attachment) endpoint.attachment = undefined;
      },
    };
  }

  /**
   * Creates a namespace with an endpoint for each interface of a namespace that was made elsewhere. Each endpoint is in a
   * network of its own, since the interfaces may lead to different networks.
   */
  adopt(name: string, interfaces: readonly AdoptedInterface[]): Promise<AdoptedNamespace> {
    return this.#inTurn(async () => {
      const { ID: namespace } = this.#createNamespace({});
      const networks: string[] = [];
      const release = (): void => {
        this.#namespaces.delete(namespace);
        for (const [id, { network }] of this.#endpoints) if (networks.includes(network)) this.#endpoints.delete(id);
        for (const network of networks) this.#networks.delete(network);
      };
      try {
        for (const { name: interfaceName, settings, leadsTo } of interfaces) {
          const Name = `${name}_${interfaceName}`;
          const network = this.#newGuid().toLowerCase();
          const properties: HcnNetwork = { SchemaVersion: schemaVersion, ID: network, Name, Type: "Transparent" };
          this.#networks.set(network, { properties, leadsTo });
          networks.push(network);
          const { ID } = this.#createEndpoint({ ...settings, Name }, network);
          this.#endpoint(ID).namespace = namespace;
          this.#namespace(namespace).endpoints.add(ID);
        }
      } catch (error) {
        release();
        throw error;
      }
      return { id: namespace, release };
    });
  }

  /** Deletes all objects. */
  close(): void {
    for (const objects of [this.#networks, this.#endpoints, this.#namespaces]) objects.clear();
    this.#switches.close();
  }

  async #createNetwork(given: unknown): Promise<HcnNetwork> {
    const settings = checked(() => checkHcnNetworkSettings(given));
    const id = (settings.ID ?? this.#newGuid()).toLowerCase();
    if (this.#networks.has(id)) throw new HcsFailure("HCN_E_NETWORK_ALREADY_EXISTS", `network ${id} already exists`);
    checkSubnets(settings);
    await this.#switches.add(id);
    const properties = { SchemaVersion: schemaVersion, ...settings, ID: id };
    this.#networks.set(id, { properties });
    return properties;
  }

  async #deleteNetwork(id: string): Promise<void> {
    const { leadsTo } = this.#network(id);
    const left = [...this.#endpoints].filter(([, { network }]) => network === id).map(([endpoint]) => endpoint);
    if (left.length > 0) {
      throw new HcsFailure("HCN_E_ENTITY_HAS_REFERENCES", `network ${id} still has endpoints ${left.join(", ")}`);
    }
    if (leadsTo === undefined) await this.#switches.remove(id);
    this.#networks.delete(id);
  }

  #createEndpoint(given: unknown, networkId: string): HcnEndpoint {
    const id = guid(networkId);
    const { properties: network } = this.#network(id);
    const settings = checked(() => checkHcnEndpointSettings(given));
    const ID = (settings.ID ?? this.#newGuid()).toLowerCase();
    if (this.#endpoints.has(ID)) throw new HcsFailure("ERROR_ALREADY_EXISTS", `endpoint ${ID} already exists`);
    const siblings = [...this.#endpoints.values()].filter((endpoint) => endpoint.network === id);
    checkAddresses(settings, network, new Set(siblings.flatMap(({ properties }) => addressesOf(properties))));
    const macs = new Set(siblings.map(({ properties }) => parseMacAddress(properties.MacAddress ?? "")));
    const MacAddress =
      settings.MacAddress === undefined || settings.MacAddress === "" ? this.#newMac(macs) : settings.MacAddress;
    if (macs.has(parseMacAddress(MacAddress))) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `MacAddress: ${MacAddress} is in use by another endpoint`);
    }
    const properties = { SchemaVersion: schemaVersion, ...settings, ID, HostComputeNetwork: id, MacAddress };
    const endpoint: Endpoint = { properties, network: id, namespace: undefined, attachment: undefined };
    this.#endpoints.set(ID, endpoint);
    return endpointProperties(endpoint);
  }

  #deleteEndpoint(id: string): void {
    const { namespace, attachment } = this.#endpoint(id);
    if (namespace !== undefined) this.#namespaces.get(namespace)?.endpoints.delete(id);
    this.#endpoints.delete(id);
    attachment?.disconnect();
  }

  #createNamespace(given: unknown): HcnNamespace {
    const settings = checked(() => checkHcnNamespaceSettings(given));
    const id = (settings.ID ?? this.#newGuid()).toLowerCase();
    if (this.#namespaces.has(id)) throw new HcsFailure("ERROR_ALREADY_EXISTS", `namespace ${id} already exists`);
    this.#compartments += 1;
    const namespace = { number: this.#compartments, settings, endpoints: new Set<string>() };
    this.#namespaces.set(id, namespace);
    return namespaceProperties(id, namespace);
  }

  #network(id: string): Network {
    const network = this.#networks.get(id);
    if (network === undefined) throw new HcsFailure("HCN_E_NETWORK_NOT_FOUND", `network ${id} does not exist`);
    return network;
  }

  #endpoint(id: string): Endpoint {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) throw new HcsFailure("HCN_E_ENDPOINT_NOT_FOUND", `endpoint ${id} does not exist`);
    return endpoint;
  }

  #namespace(id: string): Namespace {
    const namespace = this.#namespaces.get(id);
    if (namespace === undefined) throw new HcsFailure("ERROR_NOT_FOUND", `namespace ${id} does not exist`);
    return namespace;
  }

  /** The next free address in Hyper-V's range. */
  #newMac(taken: ReadonlySet<string | undefined>): string {
    while (this.#macs < longestMacSuffix) {
      this.#macs += 1;
      const digits = this.#macs.toString(16).padStart(6, "0").toUpperCase();
      const mac = `00-15-5D-${digits.slice(0, 2)}-${digits.slice(2, 4)}-${digits.slice(4)}`;
      if (!taken.has(parseMacAddress(mac))) return mac;
    }
    throw new HcsFailure("E_OUTOFMEMORY", "MacAddress: no free address is left in the range");
  }

  /** Runs changes one after another, since some are asynchronous. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

function endpointProperties({ properties, namespace = "" }: Endpoint): HcnEndpoint {
  return { ...properties, HostComputeNamespace: namespace };
}

function namespaceProperties(ID: string, { number, settings, endpoints }: Namespace): HcnNamespace {
  const Resources = [...endpoints].map(
    (endpoint): HcnNamespaceResource => ({ Type: "Endpoint", Data: { Id: endpoint } }),
  );
  return { Type: "Guest", SchemaVersion: schemaVersion, ...settings, ID, NamespaceId: number, Resources };
}

/** The id in the form of the map keys. */
function guid(id: string): string {
  try {
    return checkGuid(id).toLowerCase();
  } catch (cause) {
    throw new HcsFailure("E_INVALIDARG", `id: expected a GUID, got ${JSON.stringify(id.slice(0, 64))}`, { cause });
  }
}

function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (cause instanceof SchemaError) throw new HcsFailure("HCN_E_INVALID_JSON", cause.message, { cause });
    throw cause;
  }
}
