import {
  answerObject,
  anything,
  type Check,
  closedObject,
  type FieldChecks,
  filledText,
  integer,
  list,
  namesOf,
  type ObjectCheck,
  oneOf,
  optional,
  refine,
  text,
} from "../check.ts";
import { checkGuid, schemaVersionFields } from "../document/checks.ts";
import type {
  HcnDns,
  HcnEncapOverhead,
  HcnEndpoint,
  HcnEndpointSettings,
  HcnHealth,
  HcnIpConfiguration,
  HcnModifyNamespaceRequest,
  HcnNamespace,
  HcnNamespaceResource,
  HcnNamespaceSettings,
  HcnNetwork,
  HcnNetworkSettings,
  HcnPolicy,
  HcnRoute,
  HcnSubnet,
} from "./hcn.ts";
import { parseIpAddress, parseIpPrefix, parseMacAddress } from "./ip-address.ts";

/** An IPv4 address in dotted form without leading zeros, or an IPv6 address without zone. */
export const checkIpAddress: Check<string> = refine(
  text,
  "an IPv4 or IPv6 address",
  (value) => parseIpAddress(value) !== undefined,
);
/** An address and the length of its prefix in bits. Bits after the prefix may be set. */
export const checkIpPrefix: Check<string> = refine(
  text,
  "a prefix such as 10.0.0.0/24 or fd00::/64",
  (value) => parseIpPrefix(value) !== undefined,
);
/** A MAC address of six bytes with hyphens or colons; neither zero nor a multicast address, which no NIC can have. */
export const checkMacAddress: Check<string> = refine(
  text,
  "a unicast MAC address, such as 00-15-5D-00-00-01",
  (value) => parseMacAddress(value) !== undefined,
);
/** A domain of a search list: it becomes a word of resolv.conf. */
export const checkDomain: Check<string> = refine(
  text,
  "a domain of letters, digits, hyphens, underscores and dots",
  (value) => /^[A-Za-z0-9_.-]{1,253}$/.test(value),
);

/** HNS writes an empty string for an absent value. */
function orEmpty(check: Check<string>): Check<string> {
  return (value, path) => (value === "" ? "" : check(value, path));
}

const name = refine(text, "at most 255 characters without control characters", (value) =>
  /^\P{Cc}{0,255}$/u.test(value),
);

const dns: FieldChecks<HcnDns> = {
  Domain: optional(orEmpty(checkDomain)),
  Search: optional(list(checkDomain)),
  ServerList: optional(list(checkIpAddress)),
  Options: optional(list(text)),
};
const route: FieldChecks<HcnRoute> = {
  NextHop: optional(orEmpty(checkIpAddress)),
  DestinationPrefix: checkIpPrefix,
  Metric: optional(integer(0, 0xffff)),
};
const ipConfiguration: FieldChecks<HcnIpConfiguration> = {
  IpAddress: checkIpAddress,
  PrefixLength: integer(0, 128),
};
const policy: FieldChecks<HcnPolicy> = { Type: filledText, Settings: optional(anything) };
const networkType = oneOf("NAT", "ICS", "Internal", "Private", "Transparent", "L2Bridge", "L2Tunnel", "Overlay");
const namespaceType = oneOf("Host", "HostDefault", "Guest", "GuestDefault");

/**
 * The same fields for two kinds of objects: a client's settings may have no other fields, while a host's answer may,
 * and may spell their names in any case.
 */
function networkFields(object: ObjectCheck): FieldChecks<HcnNetworkSettings> {
  const subnet: FieldChecks<HcnSubnet> = { IpAddressPrefix: checkIpPrefix, Routes: optional(list(object(route))) };
  return {
    ID: optional(checkGuid),
    Name: optional(name),
    Type: networkType,
    Ipams: optional(
      list(
        object<{ readonly Type?: string; readonly Subnets?: readonly HcnSubnet[] }>({
          Type: optional(text),
          Subnets: optional(list(object(subnet))),
        }),
      ),
    ),
    Dns: optional(object(dns)),
    Policies: optional(list(object(policy))),
    SchemaVersion: optional(object(schemaVersionFields)),
  };
}

function endpointFields(object: ObjectCheck): FieldChecks<HcnEndpointSettings> {
  return {
    ID: optional(checkGuid),
    Name: optional(name),
    IpConfigurations: optional(list(object(ipConfiguration))),
    Routes: optional(list(object(route))),
    Dns: optional(object(dns)),
    MacAddress: optional(orEmpty(checkMacAddress)),
    Policies: optional(list(object(policy))),
    SchemaVersion: optional(object(schemaVersionFields)),
  };
}

function namespaceFields(object: ObjectCheck): FieldChecks<HcnNamespaceSettings> {
  return {
    ID: optional(checkGuid),
    Type: optional(namespaceType),
    SchemaVersion: optional(object(schemaVersionFields)),
  };
}

/** Settings of HcnCreateNetwork. Unknown fields are refused. */
export const checkHcnNetworkSettings: Check<HcnNetworkSettings> = closedObject(networkFields(closedObject));
/** Settings of HcnCreateEndpoint. Unknown fields are refused. */
export const checkHcnEndpointSettings: Check<HcnEndpointSettings> = closedObject(endpointFields(closedObject));
/** Settings of HcnCreateNamespace. Unknown fields are refused. */
export const checkHcnNamespaceSettings: Check<HcnNamespaceSettings> = closedObject(namespaceFields(closedObject));

/** A network as HcnQueryNetworkProperties tells it. Fields that later hosts add are left out. */
export const checkHcnNetwork: Check<HcnNetwork> = answerObject<HcnNetwork>({
  ...networkFields(answerObject),
  ID: checkGuid,
});
/** An endpoint as HcnQueryEndpointProperties tells it. Fields that later hosts add are left out. */
export const checkHcnEndpoint: Check<HcnEndpoint> = hcnEndpoint(answerObject);
/** A namespace as HcnQueryNamespaceProperties tells it. Fields that later hosts add are left out. */
export const checkHcnNamespace: Check<HcnNamespace> = hcnNamespace(answerObject);

/** An endpoint in an answer of the service, with the fields that its clients know. */
export function hcnEndpoint(object: ObjectCheck): Check<HcnEndpoint> {
  return object<HcnEndpoint>({
    ...endpointFields(object),
    ID: checkGuid,
    HostComputeNetwork: checkGuid,
    HostComputeNamespace: optional(orEmpty(checkGuid)),
    Flags: optional(anything),
    Health: optional(
      object<HcnHealth>({
        Data: optional(anything),
        Extra: optional(
          namesOf(object, "Resources", "SharedContainers", "LayeredOn", "SwitchGuid", "UtilityVM", "VirtualMachine"),
        ),
      }),
    ),
  });
}

/** A namespace in an answer of the service, with the fields that its clients know. */
export function hcnNamespace(object: ObjectCheck): Check<HcnNamespace> {
  return object<HcnNamespace>({
    ...namespaceFields(object),
    ID: checkGuid,
    NamespaceId: optional(integer(0, 0xffffffff)),
    Resources: optional(
      list(
        object<HcnNamespaceResource>({
          Type: oneOf("Endpoint", "Container"),
          Data: object<HcnNamespaceResource["Data"]>({ Id: text }),
        }),
      ),
    ),
  });
}

/** What HcnModifyNamespace takes here: an endpoint that joins or leaves. */
export const checkHcnModifyNamespaceRequest: Check<HcnModifyNamespaceRequest> = closedObject<HcnModifyNamespaceRequest>(
  {
    ResourceType: oneOf("Endpoint"),
    RequestType: oneOf("Add", "Remove"),
    Settings: closedObject<{ readonly EndpointId: string }>({ EndpointId: checkGuid }),
  },
);

/** Settings of an endpoint policy of the type `encapOverheadPolicy`: a number of bytes below 65536. */
export const checkHcnEncapOverhead: Check<HcnEncapOverhead> = answerObject<HcnEncapOverhead>({
  Overhead: optional(integer(0, 0xffff)),
});
