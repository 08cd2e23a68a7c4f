/** Reads the settings of a NIC, whose values become words of ip(8) and of resolv.conf. */
import { Fields } from "@uvm-shim/gcs-bridge";
import {
  bitsOf,
  type LinuxNetworkAdapter,
  type LinuxNetworkRoute,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from "@uvm-shim/hcs-schema";

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const domainPattern = /^[A-Za-z0-9_.-]{1,253}$/;
const mostItems = 256;

/** A NIC as the host describes it. */
export interface DescribedAdapter extends LinuxNetworkAdapter {
  /** An error in its addresses or routes, which the real guest finds only when it sets the NIC up. */
  readonly problem?: string;
}

/** Throws a FieldError naming the field. */
export function readNetworkAdapter(fields: Fields): DescribedAdapter {
  const mac = fields.optionalText("MacAddress") ?? "";
  if (mac !== "" && parseMacAddress(mac) === undefined) throw fields.rejected("MacAddress", "a MAC address");
  if (fields.flag("VPCIAssigned")) throw fields.rejected("VPCIAssigned", "false: this guest has no assigned devices");
  for (const name of ["IPConfigs", "Routes"]) {
    if (fields.list(name, () => undefined).length > mostItems) {
      throw fields.rejected(name, `a list of at most ${mostItems}`);
    }
  }
  const configuration = readConfiguration(fields);
  return {
    // Any text, even an empty one.
    NamespaceID: (fields.optionalText("NamespaceID") ?? "").toLowerCase(),
    ID: guid(fields, "ID"),
    ...(mac === "" ? {} : { MacAddress: mac }),
    DNSSuffix: words(fields, "DNSSuffix", "domains", (word) => domainPattern.test(word)),
    DNSServerList: words(fields, "DNSServerList", "addresses", (word) => parseIpAddress(word) !== undefined),
    EncapOverhead: optionalNumber(fields, "EncapOverhead"),
    ...configuration,
    PolicyBasedRouting: fields.flag("PolicyBasedRouting"),
  };
}

function readConfiguration(fields: Fields): Pick<DescribedAdapter, "IPConfigs" | "Routes" | "problem"> {
  try {
    return {
      IPConfigs: fields.list("IPConfigs", (item, path) => readAddress(new Fields(item, path))),
      Routes: fields.list("Routes", (item, path) => readRoute(new Fields(item, path))),
    };
  } catch (error) {
    return { IPConfigs: [], Routes: [], problem: (error as Error).message };
  }
}

function readAddress(fields: Fields): { readonly IPAddress: string; readonly PrefixLength: number } {
  const address = parseIpAddress(fields.text("IPAddress"));
  if (address === undefined) throw fields.rejected("IPAddress", "an IPv4 or IPv6 address");
  return {
    IPAddress: fields.text("IPAddress"),
    PrefixLength: fields.has("PrefixLength") ? fields.integer("PrefixLength", 0, bitsOf(address.family)) : 0,
  };
}

function readRoute(fields: Fields): LinuxNetworkRoute {
  const destination = parseIpPrefix(fields.text("DestinationPrefix"));
  if (destination === undefined) throw fields.rejected("DestinationPrefix", "a prefix such as 10.0.0.0/24");
  const hop = fields.optionalText("NextHop") ?? "";
  if (hop !== "" && parseIpAddress(hop)?.family !== destination.address.family) {
    throw fields.rejected("NextHop", "an address of the destination's kind");
  }
  return {
    DestinationPrefix: fields.text("DestinationPrefix"),
    NextHop: hop,
    Metric: optionalNumber(fields, "Metric"),
  };
}

function guid(fields: Fields, name: string): string {
  const value = fields.text(name);
  if (!guidPattern.test(value)) throw fields.rejected(name, "a GUID");
  return value.toLowerCase();
}

function words(fields: Fields, name: string, what: string, accepts: (word: string) => boolean): string {
  const given = (fields.optionalText(name) ?? "")
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (given.length > mostItems || !given.every(accepts)) throw fields.rejected(name, `${what} separated by commas`);
  return given.join(",");
}

function optionalNumber(fields: Fields, name: string): number {
  return fields.has(name) ? fields.integer(name, 0, 0xffff) : 0;
}
