import {
  bitsOf,
  type HcnEndpointSettings,
  type HcnNetworkSettings,
  type IpPrefix,
  isUnspecified,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
} from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

/** Rejects subnets whose routes have unreachable next hops. The syntax of addresses has already been checked. */
export function checkSubnets(network: HcnNetworkSettings): void {
  for (const [ipam, { Subnets = [] }] of (network.Ipams ?? []).entries()) {
    for (const [index, { IpAddressPrefix, Routes = [] }] of Subnets.entries()) {
      const subnet = prefix(IpAddressPrefix);
      for (const [number, { NextHop = "" }] of Routes.entries()) {
        const gateway = parseIpAddress(NextHop);
        if (gateway === undefined || prefixContains(subnet, gateway)) continue;
        const field = `Ipams[${ipam}].Subnets[${index}].Routes[${number}].NextHop`;
        throw new HcsFailure(
          "HCN_E_INVALID_IP",
          `${field}: invalid next hop ${NextHop}: expected an address in ${IpAddressPrefix}`,
        );
      }
    }
  }
}

/** Rejects addresses that are outside the network or in use, and inconsistent routes. */
export function checkAddresses(
  endpoint: HcnEndpointSettings,
  network: HcnNetworkSettings,
  taken: ReadonlySet<bigint>,
): void {
  const subnets = (network.Ipams ?? []).flatMap(({ Subnets = [] }) => Subnets);
  const gateways = new Set(
    subnets.flatMap(({ Routes = [] }) => Routes.flatMap(({ NextHop = "" }) => numberOf(NextHop))),
  );
  for (const [index, { IpAddress, PrefixLength }] of (endpoint.IpConfigurations ?? []).entries()) {
    const field = `IpConfigurations[${index}]`;
    const address = parseIpAddress(IpAddress);
    if (address === undefined || isUnspecified(address)) {
      throw new HcsFailure(
        "HCN_E_INVALID_IP",
        `${field}.IpAddress: ${IpAddress} is not a valid address for an endpoint`,
      );
    }
    if (PrefixLength > bitsOf(address.family)) {
      const most = bitsOf(address.family);
      throw new HcsFailure("HCN_E_INVALID_IP", `${field}.PrefixLength: expected at most ${most}, got ${PrefixLength}`);
    }
    const refuse = (why: string): HcsFailure =>
      new HcsFailure("HCN_E_ADDR_INVALID_OR_RESERVED", `${field}.IpAddress: ${IpAddress} ${why}`);
    if (subnets.length > 0 && !subnets.some(({ IpAddressPrefix: of }) => prefixContains(prefix(of), address))) {
      throw refuse(
        `is outside the network: expected an address in ${subnets.map((subnet) => subnet.IpAddressPrefix).join(", ")}`,
      );
    }
    if (gateways.has(address.value)) throw refuse("is a gateway of the network");
    if (taken.has(address.value)) throw refuse("is in use by another endpoint");
  }
  for (const [index, { NextHop = "", DestinationPrefix }] of (endpoint.Routes ?? []).entries()) {
    const hop = parseIpAddress(NextHop);
    if (hop === undefined || hop.family === prefix(DestinationPrefix).address.family) continue;
    throw new HcsFailure(
      "HCN_E_INVALID_IP",
      `Routes[${index}]: next hop ${NextHop} and destination prefix ${DestinationPrefix} are of different address families`,
    );
  }
}

/** Addresses of an endpoint as numbers. */
export function addressesOf({ IpConfigurations = [] }: HcnEndpointSettings): readonly bigint[] {
  return IpConfigurations.flatMap(({ IpAddress }) => numberOf(IpAddress));
}

function numberOf(text: string): readonly bigint[] {
  const address = parseIpAddress(text);
  return address === undefined ? [] : [address.value];
}

function prefix(text: string): IpPrefix {
  const parsed = parseIpPrefix(text);
  if (parsed === undefined)
    throw new HcsFailure("HCN_E_INVALID_IP", `invalid prefix ${text}: expected <address>/<length>`);
  return parsed;
}
