import {
  bitsOf,
  checkGuid,
  checkHcnEncapOverhead,
  checkHcnEndpoint,
  encapOverheadPolicy,
  type HcnEndpoint,
  type HcnNamespace,
  parseIpAddress,
  SchemaError,
} from "@uvm-shim/hcs-schema";
import { ControllerError, messageOf } from "@uvm-shim/lifecycle";

/**
 * Endpoints whose name ends with this come first: the guest names NICs in their order, and this name must be the first.
 */
const firstName = "eth0";

/** The ids of a namespace's endpoints, each once, in the namespace's order. */
export function endpointIdsOf({ Resources = [] }: HcnNamespace): readonly string[] {
  return [...new Set(Resources.filter(({ Type }) => Type === "Endpoint").map(({ Data }) => Data.Id.toLowerCase()))];
}

/** The endpoint named eth0 first; the others keep the namespace's order. */
export function ordered(endpoints: readonly HcnEndpoint[]): readonly HcnEndpoint[] {
  const isFirst = ({ Name = "" }: HcnEndpoint): boolean => Name.endsWith(firstName);
  return [...endpoints.filter(isFirst), ...endpoints.filter((endpoint) => !isFirst(endpoint))];
}

/** InvalidArgument unless the id is a GUID. */
export function checkNamespaceId(id: string): void {
  try {
    checkGuid(id, "networkNamespace");
  } catch (cause) {
    throw invalid("set up network", id, messageOf(cause), cause);
  }
}

/** InvalidArgument with field and value for an endpoint that cannot become a NIC. */
export function checkEndpoint(endpoint: HcnEndpoint): void {
  const operation = "use endpoint";
  const id = `${endpoint.ID} (${endpoint.Name ?? ""})`;
  try {
    checkHcnEndpoint(endpoint);
    for (const { Type, Settings } of endpoint.Policies ?? []) {
      if (Type === encapOverheadPolicy) checkHcnEncapOverhead(Settings ?? {}, `Policies (${Type}).Settings`);
    }
  } catch (cause) {
    if (cause instanceof SchemaError) throw invalid(operation, id, cause.message, cause);
    throw cause;
  }
  const { IpConfigurations = [], MacAddress = "" } = endpoint;
  if (MacAddress === "") throw invalid(operation, id, "MacAddress is empty, expected the endpoint's address");
  if (IpConfigurations.length === 0) {
    throw invalid(operation, id, "IpConfigurations is empty, expected at least one address");
  }
  for (const [index, { IpAddress, PrefixLength }] of IpConfigurations.entries()) {
    const most = bitsOf(parseIpAddress(IpAddress)?.family ?? 6);
    if (PrefixLength <= most) continue;
    const field = `IpConfigurations[${index}].PrefixLength`;
    throw invalid(operation, id, `${field}: expected at most ${most} for ${IpAddress}, got ${PrefixLength}`);
  }
}

/** Bytes of the MTU that encapsulation needs; the endpoint must have been checked. */
export function encapOverheadOf({ Policies = [] }: HcnEndpoint): number {
  const policy = Policies.find(({ Type }) => Type === encapOverheadPolicy);
  return policy === undefined ? 0 : (checkHcnEncapOverhead(policy.Settings ?? {}).Overhead ?? 0);
}

function invalid(operation: string, id: string, message: string, cause?: unknown): ControllerError {
  return new ControllerError("InvalidArgument", message, { operation, id, cause });
}
