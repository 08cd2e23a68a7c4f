import {
  type Check,
  checkHcnEndpoint,
  checkHcnNamespace,
  checkHcnNetwork,
  type HcnModifyNamespaceRequest,
  type HcnObjectKind,
} from "@uvm-shim/hcs-schema";
import type { HostNetworks } from "../types.ts";
import type { EmulatorConnection } from "./connection.ts";

/** Networks of the emulated host. */
export function emulatedNetworks(connection: EmulatorConnection): HostNetworks {
  function create<T extends { readonly ID: string }>(
    kind: HcnObjectKind,
    check: Check<T>,
    request: { readonly settings: { readonly ID?: string; readonly Name?: string }; readonly network?: string },
    signal?: AbortSignal,
  ): Promise<T> {
    const { settings } = request;
    const subject = { operation: `create ${kind}`, id: settings.ID ?? settings.Name ?? "without id and name" };
    return connection.call("createNetworkObject", { kind, ...request }, subject, {
      signal,
      receive: ({ properties }) => check(properties, kind),
      // The caller does not know this object, so nobody else would delete it.
      abandon: ({ ID }) => void remove(kind, ID).catch(() => {}),
    });
  }

  function query<T>(kind: HcnObjectKind, check: Check<T>, id: string, signal?: AbortSignal): Promise<T> {
    const subject = { operation: `query ${kind}`, id };
    return connection.call("queryNetworkObject", { kind, object: id }, subject, {
      signal,
      receive: ({ properties }) => check(properties, kind),
    });
  }

  function remove(kind: HcnObjectKind, id: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: `delete ${kind}`, id };
    return connection.call("deleteNetworkObject", { kind, object: id }, subject, { signal, receive: () => {} });
  }

  function modify(
    namespace: string,
    RequestType: HcnModifyNamespaceRequest["RequestType"],
    EndpointId: string,
    signal?: AbortSignal,
  ): Promise<void> {
    const request: HcnModifyNamespaceRequest = { ResourceType: "Endpoint", RequestType, Settings: { EndpointId } };
    const subject = { operation: `${RequestType} endpoint ${EndpointId} of namespace`, id: namespace };
    return connection.call("modifyNamespace", { namespace, request }, subject, { signal, receive: () => {} });
  }

  return {
    createNetwork: (settings, signal) => create("network", checkHcnNetwork, { settings }, signal),
    queryNetwork: (id, signal) => query("network", checkHcnNetwork, id, signal),
    deleteNetwork: (id, signal) => remove("network", id, signal),
    createEndpoint: (network, settings, signal) => create("endpoint", checkHcnEndpoint, { settings, network }, signal),
    queryEndpoint: (id, signal) => query("endpoint", checkHcnEndpoint, id, signal),
    deleteEndpoint: (id, signal) => remove("endpoint", id, signal),
    createNamespace: (settings, signal) => create("namespace", checkHcnNamespace, { settings }, signal),
    queryNamespace: (id, signal) => query("namespace", checkHcnNamespace, id, signal),
    deleteNamespace: (id, signal) => remove("namespace", id, signal),
    addNamespaceEndpoint: (namespace, endpoint, signal) => modify(namespace, "Add", endpoint, signal),
    removeNamespaceEndpoint: (namespace, endpoint, signal) => modify(namespace, "Remove", endpoint, signal),
  };
}
