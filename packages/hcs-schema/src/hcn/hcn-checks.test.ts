import { describe, expect, it } from "vitest";
import { checkNetworkAdapter } from "../document/checks.ts";
import { checkLinuxGuestRequest } from "../guest/guest-checks.ts";
import { checkWindowsNetworkModification } from "../guest/wcow.ts";
import {
  checkHcnEndpoint,
  checkHcnEndpointSettings,
  checkHcnModifyNamespaceRequest,
  checkHcnNamespace,
  checkHcnNetworkSettings,
} from "./hcn-checks.ts";

const id = "12345678-1234-1234-1234-123456789ABC";
const endpoint = {
  ID: id,
  Name: "pod_eth0",
  HostComputeNetwork: id,
  HostComputeNamespace: "",
  IpConfigurations: [{ IpAddress: "10.0.0.2", PrefixLength: 24 }],
  Routes: [{ NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0", Metric: 0 }],
  Dns: { Domain: "pod.test", Search: ["svc.test"], ServerList: ["10.0.0.1"] },
  MacAddress: "00-15-5D-00-00-01",
  Policies: [{ Type: "EncapOverhead", Settings: { Overhead: 50 } }],
};

describe("a host's answers about networks", () => {
  it("may have unknown fields", () => {
    expect(checkHcnEndpoint({ ...endpoint, Health: { Extra: {} } })).toMatchObject({ ...endpoint, Health: {} });
    const resources = [
      { Type: "Endpoint", Data: { Id: id } },
      { Type: "Container", Data: { Id: "c" } },
    ];
    expect(checkHcnNamespace({ ID: id, NamespaceId: 3, Resources: resources })).toMatchObject({ Resources: resources });
    expect(checkHcnNamespace({ ID: id, Resources: null })).toEqual({ ID: id });
  });

  it.each([
    ["ID", { ...endpoint, ID: "e" }],
    ["HostComputeNamespace", { ...endpoint, HostComputeNamespace: "n" }],
    ["IpConfigurations[0].IpAddress", { ...endpoint, IpConfigurations: [{ IpAddress: "10.0.0", PrefixLength: 24 }] }],
    ["Routes[0].DestinationPrefix", { ...endpoint, Routes: [{ DestinationPrefix: "10.0.0.0" }] }],
    ["Dns.Search[0]", { ...endpoint, Dns: { Search: ["a b"] } }],
    ["Dns.ServerList[0]", { ...endpoint, Dns: { ServerList: ["dns.test"] } }],
    ["MacAddress", { ...endpoint, MacAddress: "ff-ff-ff-ff-ff-ff" }],
    ["Name", { ...endpoint, Name: "a\nb" }],
  ])("are refused for an invalid %s", (path, value) => {
    expect(() => checkHcnEndpoint(value)).toThrow(expect.objectContaining({ path }));
  });
});

describe("a client's settings", () => {
  it("have known fields only", () => {
    expect(
      checkHcnNetworkSettings({ Type: "NAT", Ipams: [{ Subnets: [{ IpAddressPrefix: "10.0.0.0/24" }] }] }),
    ).toEqual({
      Type: "NAT",
      Ipams: [{ Subnets: [{ IpAddressPrefix: "10.0.0.0/24" }] }],
    });
    expect(() => checkHcnNetworkSettings({ Type: "Token ring" })).toThrow("Type: expected");
    expect(() => checkHcnEndpointSettings({ Colour: "red" })).toThrow("Colour: unknown field");
    expect(() => checkNetworkAdapter({ EndpointId: "e" })).toThrow("EndpointId: expected a GUID");
    const request = { ResourceType: "Endpoint", RequestType: "Add", Settings: { EndpointId: id } };
    expect(checkHcnModifyNamespaceRequest(request)).toEqual(request);
    expect(() => checkHcnModifyNamespaceRequest({ ...request, RequestType: "Update" })).toThrow("RequestType");
  });
});

describe("a request to a guest", () => {
  const adapter = { NamespaceID: id, ID: id, DNSSuffix: "a.test,b.test", DNSServerList: "10.0.0.1,fd00::1" };

  it("is checked for Linux", () => {
    const request = { ResourceType: "Network", RequestType: "Add", Settings: adapter };
    expect(checkLinuxGuestRequest(request)).toEqual(request);
    for (const [field, value] of Object.entries({ DNSSuffix: "a test", DNSServerList: "1.1.1.1,", ID: "nic" })) {
      expect(() => checkLinuxGuestRequest({ ...request, Settings: { ...adapter, [field]: value } })).toThrow(field);
    }
  });

  it("is checked for Windows", () => {
    const request = { AdapterId: id, RequestType: "PreAdd", Settings: endpoint };
    expect(checkWindowsNetworkModification(request)).toEqual(request);
    expect(() => checkWindowsNetworkModification({ AdapterId: id, RequestType: "Update" })).toThrow("RequestType");
  });
});
