/** The commands of ip(8) that move a NIC and set it up. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import {
  bitsOf,
  type IpAddress,
  isUnspecified,
  type LinuxNetworkAdapter,
  type LinuxNetworkRoute,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
} from "@uvm-shim/hcs-schema";

/** A network interface to be moved into a container. */
export interface Interface {
  /** 0 for eth0 and so on. */
  readonly number: number;
  /** The name that the host gave it. */
  readonly hostName: string;
  /** In bytes, including the encapsulation overhead. */
  readonly mtu: number;
}

/** Input of ip(8) -batch, one command a line. */
export interface Commands {
  readonly common: readonly string[];
  /** Rules for IPv6 addresses, which ip(8) accepts only with its option -6. */
  readonly ipv6Rules: readonly string[];
}

/** With policy-based routing, the table of each NIC after the first is this number plus its own. */
const firstTable = 100;
const tableMetric = 500;
const rulePriority = 5;
const kernelIpv6Metric = 1024;

/** The name of an interface in its container. */
export function interfaceName(number: number): string {
  return `eth${number}`;
}

/** In the order in which the commands depend on each other. All values must have been checked. */
export function setUpCommands(adapter: LinuxNetworkAdapter, { number, hostName, mtu }: Interface): Commands {
  const name = interfaceName(number);
  const { MacAddress, EncapOverhead = 0, IPConfigs = [], Routes = [] } = adapter;
  return {
    common: [
      `link set dev ${hostName} down`,
      `link set dev ${hostName} name ${name}`,
      ...(MacAddress === undefined ? [] : [`link set dev ${name} address ${MacAddress.replaceAll("-", ":")}`]),
      ...(EncapOverhead === 0 ? [] : [`link set dev ${name} mtu ${mtu - EncapOverhead}`]),
      `link set dev ${name} up`,
      // The host assigns addresses uniquely, so duplicate detection would only delay them.
      ...IPConfigs.map(({ IPAddress, PrefixLength }) => {
        const noDetection = IPAddress.includes(":") ? " nodad" : "";
        return `addr add ${IPAddress}/${PrefixLength} dev ${name}${noDetection}`;
      }),
      ...Routes.flatMap((route) => routeCommand(route, adapter, number)),
      ...rules(adapter, number, 4),
    ],
    ipv6Rules: rules(adapter, number, 6),
  };
}

/** Moves a NIC from the VM's own network to that of a process, or to the namespace at a path. */
export function moveCommands(hostName: string, owner: number | string): Commands {
  return { common: [`link set dev ${hostName} down`, `link set dev ${hostName} netns ${owner}`], ipv6Rules: [] };
}

function hasOwnTable({ PolicyBasedRouting = false }: LinuxNetworkAdapter, number: number): boolean {
  return PolicyBasedRouting && number > 0;
}

/** Packets from an address of the NIC leave through the NIC. */
function rules(adapter: LinuxNetworkAdapter, number: number, family: 4 | 6): readonly string[] {
  if (!hasOwnTable(adapter, number)) return [];
  return (adapter.IPConfigs ?? [])
    .filter(({ IPAddress }) => parseIpAddress(IPAddress)?.family === family)
    .map(
      ({ IPAddress }) =>
        `rule add from ${IPAddress}/${bitsOf(family)} table ${firstTable + number} priority ${rulePriority}`,
    );
}

function routeCommand(
  { DestinationPrefix, NextHop = "", Metric = 0 }: LinuxNetworkRoute,
  adapter: LinuxNetworkAdapter,
  number: number,
): readonly string[] {
  const destination = parseIpPrefix(DestinationPrefix);
  if (destination === undefined) return [];
  const hop = parseIpAddress(NextHop);
  const hasHop = hop !== undefined && !isUnspecified(hop);
  const isDefault = destination.length === 0;
  if (isDefault && hop === undefined) {
    throw new GuestFault("E_FAIL", `invalid route to ${DestinationPrefix}: expected a gateway or a destination`);
  }
  // Networks without a gateway send such a route.
  if (isDefault && !hasHop) return [];
  const ownTable = hasOwnTable(adapter, number);
  const metric = Metric || (ownTable ? tableMetric : laterMetric(number, destination.address.family));
  return [
    [
      `route add ${isDefault ? "default" : DestinationPrefix}`,
      ...(hasHop ? [`via ${NextHop}`] : []),
      `dev ${interfaceName(number)}`,
      ...(metric === 0 ? [] : [`metric ${metric}`]),
      ...(ownTable ? [`table ${firstTable + number}`] : []),
      ...(hasHop && !isOnLink(hop, adapter) ? ["onlink"] : []),
    ].join(" "),
  ];
}

/** Routes to one destination need different metrics; without a given one, the NICs' order decides. */
function laterMetric(number: number, family: 4 | 6): number {
  if (number === 0) return 0;
  return number + (family === 6 ? kernelIpv6Metric : 0);
}

function isOnLink(hop: IpAddress, { IPConfigs = [] }: LinuxNetworkAdapter): boolean {
  const linkLocal = parseIpPrefix("fe80::/10");
  if (linkLocal !== undefined && prefixContains(linkLocal, hop)) return true;
  return IPConfigs.some(({ IPAddress, PrefixLength }) => {
    const address = parseIpAddress(IPAddress);
    return address !== undefined && prefixContains({ address, length: PrefixLength }, hop);
  });
}
