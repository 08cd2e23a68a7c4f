import {
  checkGuid,
  checkHcnEndpointSettings,
  checkHcnNamespaceSettings,
  checkHcnNetworkSettings,
  checkNetworkAdapter,
  type HcnEndpoint,
  type HcnEndpointSettings,
  type HcnNamespace,
  type HcnNamespaceSettings,
  type HcnNetwork,
  type HcnNetworkSettings,
  type NetworkAdapter,
  parseMacAddress,
} from "@uvm-shim/hcs-schema";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { NetworkQueries, NicHost } from "../types.ts";

interface FakeEndpoint {
  readonly properties: HcnEndpoint;
  namespace: string;
  nic: string;
}

/**
 * A fake of a host's networks and one VM's NICs, as strict as the real ones, which the contract suite of the host
 * boundary ensures. Calls of controllers are scripted; calls of tests are not.
 */
export class FakeNetworks implements NetworkQueries, NicHost {
  readonly script: ScriptedCalls;
  /** Endpoint ids by NIC id. */
  readonly nics = new Map<string, string>();
  readonly #networks = new Map<string, HcnNetwork>();
  readonly #endpoints = new Map<string, FakeEndpoint>();
  readonly #namespaces = new Map<
    string,
    { readonly settings: HcnNamespaceSettings; readonly endpoints: Set<string> }
  >();
  #ids = 0;

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
  }

  queryNamespace(id: string, signal?: AbortSignal): Promise<HcnNamespace> {
    return this.script.run("queryNamespace", id, signal, () => this.#namespaceOf(key(id)));
  }

  queryEndpoint(id: string, signal?: AbortSignal): Promise<HcnEndpoint> {
    return this.script.run("queryEndpoint", id, signal, () => this.#endpointOf(key(id)));
  }

  addNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void> {
    return this.script.run("addNic", nicId, signal, () => {
      checkNetworkAdapter(adapter);
      const nic = key(nicId);
      const endpoint = found(this.#endpoints, key(adapter.EndpointId), "endpoint");
      if (this.nics.has(nic)) throw scriptedError("AlreadyExists", `there is a NIC ${nic}`);
      if (endpoint.namespace === "") throw scriptedError("FailedPrecondition", "the endpoint is in no namespace");
      if (endpoint.nic !== "") throw scriptedError("FailedPrecondition", `the endpoint has the NIC ${endpoint.nic}`);
      const mac = parseMacAddress(endpoint.properties.MacAddress ?? "");
      if (adapter.MacAddress !== undefined && parseMacAddress(adapter.MacAddress) !== mac) {
        throw scriptedError("InvalidArgument", `MacAddress: expected the endpoint's ${mac}`);
      }
      endpoint.nic = nic;
      this.nics.set(nic, key(adapter.EndpointId));
    });
  }

  removeNic(nicId: string, _adapter: NetworkAdapter, signal?: AbortSignal): Promise<void> {
    return this.script.run("removeNic", nicId, signal, () => {
      const nic = key(nicId);
      const endpoint = this.#endpoints.get(found(this.nics, nic, "NIC"));
      if (endpoint !== undefined) endpoint.nic = "";
      this.nics.delete(nic);
    });
  }

  async createNetwork(settings: HcnNetworkSettings): Promise<HcnNetwork> {
    const ID = this.#newKey(checked(() => checkHcnNetworkSettings(settings)).ID, this.#networks);
    const network = { ...settings, ID };
    this.#networks.set(ID, network);
    return network;
  }

  async queryNetwork(id: string): Promise<HcnNetwork> {
    return found(this.#networks, key(id), "network");
  }

  async deleteNetwork(id: string): Promise<void> {
    found(this.#networks, key(id), "network");
    const isOn = ({ properties }: FakeEndpoint): boolean => properties.HostComputeNetwork === key(id);
    if ([...this.#endpoints.values()].some(isOn)) throw scriptedError("FailedPrecondition", "it has endpoints");
    this.#networks.delete(key(id));
  }

  async createEndpoint(networkId: string, settings: HcnEndpointSettings): Promise<HcnEndpoint> {
    const HostComputeNetwork = found(this.#networks, key(networkId), "network").ID;
    const ID = this.#newKey(checked(() => checkHcnEndpointSettings(settings)).ID, this.#endpoints);
    const siblings = [...this.#endpoints.values()].filter(
      (other) => other.properties.HostComputeNetwork === HostComputeNetwork,
    );
    const taken = siblings.flatMap(({ properties }) => properties.IpConfigurations ?? []);
    for (const { IpAddress } of settings.IpConfigurations ?? []) {
      if (!taken.some((other) => other.IpAddress === IpAddress)) continue;
      throw scriptedError("InvalidArgument", `IpAddress: ${IpAddress} is taken`);
    }
    const digits = this.#ids.toString(16).toUpperCase().padStart(2, "0");
    const properties = { MacAddress: `00-15-5D-00-00-${digits}`, ...settings, ID, HostComputeNetwork };
    this.#endpoints.set(ID, { properties, namespace: "", nic: "" });
    return this.#endpointOf(ID);
  }

  async deleteEndpoint(id: string): Promise<void> {
    const { namespace } = found(this.#endpoints, key(id), "endpoint");
    this.#namespaces.get(namespace)?.endpoints.delete(key(id));
    this.#endpoints.delete(key(id));
  }

  async createNamespace(settings: HcnNamespaceSettings): Promise<HcnNamespace> {
    const ID = this.#newKey(checked(() => checkHcnNamespaceSettings(settings)).ID, this.#namespaces);
    this.#namespaces.set(ID, { settings, endpoints: new Set() });
    return this.#namespaceOf(ID);
  }

  async deleteNamespace(id: string): Promise<void> {
    for (const endpoint of found(this.#namespaces, key(id), "namespace").endpoints) {
      found(this.#endpoints, endpoint, "endpoint").namespace = "";
    }
    this.#namespaces.delete(key(id));
  }

  async addNamespaceEndpoint(namespaceId: string, endpointId: string): Promise<void> {
    const { endpoints } = found(this.#namespaces, key(namespaceId), "namespace");
    const endpoint = found(this.#endpoints, key(endpointId), "endpoint");
    if (endpoint.namespace !== "") throw scriptedError("FailedPrecondition", `it is in ${endpoint.namespace}`);
    endpoint.namespace = key(namespaceId);
    endpoints.add(key(endpointId));
  }

  async removeNamespaceEndpoint(namespaceId: string, endpointId: string): Promise<void> {
    const { endpoints } = found(this.#namespaces, key(namespaceId), "namespace");
    const endpoint = found(this.#endpoints, key(endpointId), "endpoint");
    if (!endpoints.delete(key(endpointId))) throw gone(`endpoint ${endpointId} of the namespace`);
    endpoint.namespace = "";
  }

  #endpointOf(id: string): HcnEndpoint {
    const { properties, namespace } = found(this.#endpoints, id, "endpoint");
    return { ...properties, ...beyondSchema, HostComputeNamespace: namespace };
  }

  #namespaceOf(ID: string): HcnNamespace {
    const { settings, endpoints } = found(this.#namespaces, ID, "namespace");
    const Resources = [...endpoints].map((id) => ({ Type: "Endpoint" as const, Data: { Id: id } }));
    return { Type: "Guest", ...settings, ...beyondSchema, ID, Resources };
  }

  #newKey(given: string | undefined, among: ReadonlyMap<string, unknown>): string {
    this.#ids += 1;
    const id = (given ?? guidOf(this.#ids)).toLowerCase();
    if (among.has(id)) throw scriptedError("AlreadyExists", `there is ${id}`);
    return id;
  }
}

/** Fields of the network service that clients and guests do not know. */
const beyondSchema = { Version: 55_834_574_851, AdditionalParams: {}, State: 1 };

/** The GUID that ends with this number. */
export function guidOf(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}

function found<T>(objects: ReadonlyMap<string, T>, id: string, what: string): T {
  const object = objects.get(id);
  if (object === undefined) throw gone(`${what} ${id}`);
  return object;
}

function gone(what: string): Error {
  return Object.assign(scriptedError("NotFound", `there is no ${what}`), { gone: true });
}

function key(id: string): string {
  return checked(() => checkGuid(id)).toLowerCase();
}

function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw scriptedError("InvalidArgument", String(error));
  }
}
