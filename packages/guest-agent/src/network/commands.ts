/** What ip(8) is told to move a NIC and to set it up. */
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

export interface Interface {
  /** 0 for eth0 and so on. */
  readonly number: number;
  /** The name that the host gave it. */
  readonly hostName: string;
  /** In bytes, before encapsulation takes its part. */
  readonly mtu: number;
}

export interface Commands {
  readonly common: readonly string[];
  /** Rules for IPv6 addresses, which ip(8) takes with its option -6 alone. */
  readonly ipv6Rules: readonly string[];
}

/** Routing tables that NICs behind the first get with policy-based routing: this number and theirs. */
const firstTable = 100;
const tableMetric = 500;
const rulePriority = 5;
const kernelIpv6Metric = 1024;

export function interfaceName(number: number): string {
  return `eth${number}`;
}

/** In an order in which each command finds what it needs. All values must have been checked. */
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
      // Nobody else can have an address that the host gave out: asking around first would only delay its use.
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

/** To the network of a process, from the VM's own. */
export function moveCommands(hostName: string, pid: number): Commands {
  return { common: [`link set dev ${hostName} down`, `link set dev ${hostName} netns ${pid}`], ipv6Rules: [] };
}

function hasOwnTable({ PolicyBasedRouting = false }: LinuxNetworkAdapter, number: number): boolean {
  return PolicyBasedRouting && number > 0;
}

/** What comes from an address of the NIC leaves through the NIC. */
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
    throw new GuestFault("E_FAIL", `the route to ${DestinationPrefix} has neither a gateway nor a destination`);
  }
  // So networks without a gateway write it.
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

/** Without a metric, the NICs' routes to one destination stand in the order of the NICs; the kernel takes no two alike. */
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
