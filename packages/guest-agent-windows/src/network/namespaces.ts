/** Network namespaces of a Windows guest: each is one of Linux, which all containers of a pod share. */
import { existsSync, readFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { moveCommands, type RunInNetwork, runIp, setUpCommands } from "@uvm-shim/guest-agent-common";
import {
  type HcnEndpoint,
  type LinuxNetworkAdapter,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from "@uvm-shim/hcs-schema";
import { joinedNetwork, nicInterface } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import { createNetworkNamespace, type NetworkNamespace, openNetworkNamespace } from "@uvm-shim/linux-calls";

const nicTimeoutMs = 5000;
const nicPollMs = 10;
const interfaces = "/sys/class/net";
const domain = /^[A-Za-z0-9_.-]{1,253}$/;

interface Adapter {
  readonly endpoint: HcnEndpoint;
  /** Once its NIC is in the namespace. */
  readonly number?: number;
}

interface Namespace {
  readonly network: NetworkNamespace;
  /** Adapters that have been in it, for the names of interfaces. */
  adapters: number;
}

export class GuestNetworks {
  readonly #run: RunInNetwork;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #adapters = new Map<string, Adapter>();

  constructor(run: RunInNetwork) {
    this.#run = run;
  }

  async add(id: string): Promise<void> {
    // One that the host's containers run in already is joined as it is.
    const joined = joinedNetwork(id);
    const network = existsSync(joined) ? openNetworkNamespace(joined) : createNetworkNamespace();
    this.#namespaces.set(id.toLowerCase(), { network, adapters: 0 });
    if (!existsSync(joined)) await runIp({ common: ["link set dev lo up"], ipv6Rules: [] }, network.path, this.#run);
  }

  /** Containers that still run in it keep it. */
  remove(id: string): void {
    this.#namespaces.get(id.toLowerCase())?.network.close();
    this.#namespaces.delete(id.toLowerCase());
  }

  /** A path by which a program enters it; undefined for one that does not exist. */
  pathOf(id: string): string | undefined {
    return this.#namespaces.get(id.toLowerCase())?.network.path;
  }

  announce(adapterId: string, endpoint: HcnEndpoint): void {
    this.#adapters.set(adapterId.toLowerCase(), { endpoint });
  }

  /** Moves the NIC to the namespace of its endpoint, and sets it up there. */
  async connect(adapterId: string, signal: AbortSignal): Promise<void> {
    const id = adapterId.toLowerCase();
    const adapter = this.#adapters.get(id);
    if (adapter === undefined) throw new GuestFault("ERROR_NOT_FOUND", `adapter ${adapterId} is not announced`);
    const namespaceId = adapter.endpoint.HostComputeNamespace ?? "";
    const namespace = this.#namespaces.get(namespaceId.toLowerCase());
    if (namespace === undefined) {
      throw new GuestFault(
        "ERROR_NOT_FOUND",
        `network namespace ${namespaceId} of adapter ${adapterId} does not exist`,
      );
    }
    const number = namespace.adapters;
    namespace.adapters += 1;
    this.#adapters.set(id, { ...adapter, number });
    if (existsSync(joinedNetwork(namespaceId))) return;
    const hostName = nicInterface(adapterId);
    await waitForInterface(hostName, adapterId, signal);
    const mtu = Number(readFileSync(`${interfaces}/${hostName}/mtu`, "utf8"));
    const { path } = namespace.network;
    await runIp(moveCommands(hostName, path), undefined, this.#run);
    await runIp(setUpCommands(linuxAdapter(adapterId, adapter.endpoint), { number, hostName, mtu }), path, this.#run);
  }

  /** The host takes the NIC itself away. */
  forget(adapterId: string): void {
    this.#adapters.delete(adapterId.toLowerCase());
  }

  /** What the resolver of containers in a namespace reads. */
  resolverOf(id: string): string {
    const dns = [...this.#adapters.values()]
      .filter(({ endpoint }) => endpoint.HostComputeNamespace?.toLowerCase() === id.toLowerCase())
      .map(({ endpoint }) => endpoint.Dns ?? {});
    const searches = dns
      .flatMap(({ Domain = "", Search = [] }) => [Domain, ...Search])
      .filter((name) => domain.test(name));
    const servers = dns.flatMap(({ ServerList = [] }) => ServerList).filter((server) => parseIpAddress(server));
    return [
      ...(searches.length === 0 ? [] : [`search ${[...new Set(searches)].join(" ")}`]),
      ...[...new Set(servers)].map((server) => `nameserver ${server}`),
      "",
    ].join("\n");
  }
}

/** The words of ip(8) are made of these: only values that are what they should be get there. */
function linuxAdapter(id: string, endpoint: HcnEndpoint): LinuxNetworkAdapter {
  const { MacAddress, IpConfigurations = [], Routes = [] } = endpoint;
  const wrong = (what: string): GuestFault => new GuestFault("E_INVALIDARG", `adapter ${id}: invalid ${what}`);
  if (MacAddress !== undefined && parseMacAddress(MacAddress) === undefined) throw wrong("MacAddress");
  for (const { IpAddress } of IpConfigurations) if (parseIpAddress(IpAddress) === undefined) throw wrong("IpAddress");
  for (const { DestinationPrefix = "", NextHop = "" } of Routes) {
    if (parseIpPrefix(DestinationPrefix) === undefined) throw wrong("DestinationPrefix");
    if (NextHop !== "" && parseIpAddress(NextHop) === undefined) throw wrong("NextHop");
  }
  return {
    NamespaceID: endpoint.HostComputeNamespace ?? "",
    ID: id,
    ...(MacAddress !== undefined && { MacAddress }),
    IPConfigs: IpConfigurations.map(({ IpAddress, PrefixLength }) => ({ IPAddress: IpAddress, PrefixLength })),
    Routes: Routes.map(({ DestinationPrefix = "", NextHop = "", Metric = 0 }) => ({
      DestinationPrefix,
      NextHop,
      Metric,
    })),
  };
}

async function waitForInterface(name: string, id: string, signal: AbortSignal): Promise<void> {
  for (let waited = 0; !existsSync(`${interfaces}/${name}`); waited += nicPollMs) {
    if (waited >= nicTimeoutMs) throw new GuestFault("E_FAIL", `NIC ${id} did not appear within ${nicTimeoutMs} ms`);
    await delay(nicPollMs, signal);
  }
}
