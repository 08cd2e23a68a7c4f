/** HCN objects on the emulated host that the shims use. */
import { join } from "node:path";
import { type ComputeHost, connectEmulatedHost, type HostNetworks } from "@uvm-shim/hcs-bindings";
import type { HcnEndpointSettings } from "@uvm-shim/hcs-schema";
import { defaultHostSocket } from "@uvm-shim/host-protocol";
import { DISTRIBUTION, HOST_ENVIRONMENT } from "../support/programs.ts";

/** Connects to the host that the shims use, and starts it as they do where none runs. */
function connectHost(): Promise<ComputeHost> {
  const { PATH = "" } = process.env;
  const start = { command: join(DISTRIBUTION, "hcs-emulator"), env: { ...HOST_ENVIRONMENT, PATH } };
  return connectEmulatedHost({ socketPath: defaultHostSocket, start });
}

export async function withHost(work: (host: ComputeHost) => Promise<void>): Promise<void> {
  const host = await connectHost();
  try {
    await work(host);
  } finally {
    await host.close();
  }
}

/** Gives some work networks, and deletes all that it made with them. */
export async function withNetworks(work: (plan: NetworkPlan) => Promise<void>): Promise<void> {
  await withHost(async ({ networks }) => {
    const plan = new NetworkPlan(networks);
    try {
      await work(plan);
    } finally {
      await plan.remove();
    }
  });
}

/** Makes HCN objects as a CNI plugin does. */
export class NetworkPlan {
  readonly #networks: HostNetworks;
  readonly #endpoints = new Set<string>();
  /** Takes back networks and namespaces. */
  readonly #made: (() => Promise<void>)[] = [];

  constructor(networks: HostNetworks) {
    this.#networks = networks;
  }

  async network(Name: string, ...prefixes: readonly string[]): Promise<string> {
    const Subnets = prefixes.map((IpAddressPrefix) => ({ IpAddressPrefix }));
    const { ID } = await this.#networks.createNetwork({ Name, Type: "L2Bridge", Ipams: [{ Type: "Static", Subnets }] });
    this.#made.push(() => this.#networks.deleteNetwork(ID));
    return ID;
  }

  async namespace(): Promise<string> {
    const { ID } = await this.#networks.createNamespace({ Type: "Guest" });
    this.#made.push(() => this.#networks.deleteNamespace(ID));
    return ID;
  }

  /** Makes an endpoint in a namespace; its id. */
  async endpoint(namespace: string, network: string, settings: HcnEndpointSettings): Promise<string> {
    const { ID } = await this.#networks.createEndpoint(network, settings);
    this.#endpoints.add(ID);
    await this.#networks.addNamespaceEndpoint(namespace, ID);
    return ID;
  }

  async removeEndpoint(id: string): Promise<void> {
    await this.#networks.deleteEndpoint(id);
    this.#endpoints.delete(id);
  }

  async remove(): Promise<void> {
    for (const id of [...this.#endpoints]) await this.removeEndpoint(id);
    for (const remove of this.#made.splice(0).toReversed()) await remove();
  }
}
