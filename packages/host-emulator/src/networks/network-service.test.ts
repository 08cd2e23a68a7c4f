import type { HcnEndpoint, HcnNamespace, HresultName } from "@uvm-shim/hcs-schema";
import { hcnReleases, hresults, schemaCheck } from "@uvm-shim/hcs-schema";
import { hcnTypes } from "@uvm-shim/hcs-schema/tables";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeSwitches } from "../testing/fake-switches.ts";
import { NetworkService } from "./network-service.ts";

const idOf = (number: number): string => `${String(number).padStart(8, "0")}-0000-4000-8000-00000000abcd`;
const unknown = idOf(77);
const result = (name: HresultName) => ({ hresult: hresults[name] });

describe("the network service", () => {
  let switches: FakeSwitches;
  let service: NetworkService;
  let network: string;
  let namespace: string;

  beforeEach(async () => {
    let ids = 0;
    switches = new FakeSwitches();
    service = new NetworkService({ switches, newGuid: () => idOf(++ids) });
    const subnet = {
      IpAddressPrefix: "10.0.0.0/24",
      Routes: [{ NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0" }],
    };
    const Ipams = [{ Subnets: [subnet, { IpAddressPrefix: "fd00::/64" }] }];
    ({ ID: network } = await service.create("network", { Type: "L2Bridge", Ipams }));
    ({ ID: namespace } = await service.create("namespace", {}));
  });

  const endpoint = (settings: object = {}): Promise<HcnEndpoint> =>
    service.create("endpoint", settings, network) as Promise<HcnEndpoint>;
  const at = (IpAddress: string, PrefixLength = 24) => ({ IpConfigurations: [{ IpAddress, PrefixLength }] });
  const modify = (RequestType: string, EndpointId: string): Promise<void> =>
    service.modifyNamespace(namespace, { ResourceType: "Endpoint", RequestType, Settings: { EndpointId } });
  const inNamespace = async (settings: object = {}): Promise<string> => {
    const { ID } = await endpoint(settings);
    await modify("Add", ID);
    return ID;
  };

  it("keeps objects until they are deleted, by ids in any case", async () => {
    expect(switches.networks).toEqual(new Set([network]));
    const { ID } = await service.create("network", { ID: unknown.toUpperCase(), Type: "NAT", Name: "second" });
    expect(ID).toBe(unknown);
    expect(service.query("network", unknown.toUpperCase())).toMatchObject({ Name: "second", Type: "NAT" });
    await service.delete("network", unknown.toUpperCase());
    expect(() => service.query("network", unknown)).toThrow(expect.objectContaining(result("HCN_E_NETWORK_NOT_FOUND")));
    await service.delete("namespace", namespace);
    await service.delete("network", network);
    expect(service.isEmpty).toBe(true);
    expect(switches.networks.size).toBe(0);
  });

  it("gives endpoints unused MAC addresses of Hyper-V's range", async () => {
    await endpoint({ MacAddress: "00-15-5D-00-00-02" });
    const macs = [await endpoint(), await endpoint({ MacAddress: "" })].map(({ MacAddress }) => MacAddress);
    expect(macs).toEqual(["00-15-5D-00-00-01", "00-15-5D-00-00-03"]);
    await expect(endpoint({ MacAddress: "00:15:5d:00:00:02" })).rejects.toMatchObject(result("ERROR_ALREADY_EXISTS"));
  });

  it("answers with documents that fit the schema", async () => {
    const id = await inNamespace({ Name: "a", Dns: { Domain: "pod.test" }, ...at("10.0.0.2") });
    const inSchema = (name: keyof typeof hcnTypes, value: unknown) => () =>
      schemaCheck(hcnTypes, name, { releases: hcnReleases })(value);
    const found = service.query("namespace", namespace) as HcnNamespace;
    expect(inSchema("HostComputeNetwork", service.query("network", network))).not.toThrow();
    expect(inSchema("HostComputeEndpoint", service.query("endpoint", id))).not.toThrow();
    expect(inSchema("HostComputeNamespace", found)).not.toThrow();
    expect(found.Resources).toHaveLength(1);
    for (const { Data } of found.Resources ?? []) expect(inSchema("NamespaceResourceEndpoint", Data)).not.toThrow();
  });

  it("lists a namespace's endpoints, in the order in which they were added", async () => {
    const ids = [await inNamespace({ Name: "a" }), await inNamespace({ Name: "b" })];
    const found = service.query("namespace", namespace) as HcnNamespace;
    expect(found).toMatchObject({ ID: namespace, Type: "Guest", NamespaceId: 2 });
    expect(found.Resources).toEqual(ids.map((Id) => ({ Type: "Endpoint", Data: { Id } })));
    expect(service.query("endpoint", ids[0] ?? "")).toMatchObject({ HostComputeNamespace: namespace });
    await modify("Remove", ids[0] ?? "");
    await service.delete("endpoint", ids[1] ?? "");
    expect(service.query("namespace", namespace)).toMatchObject({ Resources: [] });
    expect(service.query("endpoint", ids[0] ?? "")).toMatchObject({ HostComputeNamespace: "" });
    await modify("Add", ids[0] ?? "");
    await service.delete("namespace", namespace);
    expect(service.query("endpoint", ids[0] ?? "")).toMatchObject({ HostComputeNamespace: "" });
  });

  it.each([
    ["HCN_E_INVALID_JSON", { Colour: "red" }, "Colour: unknown field"],
    ["HCN_E_INVALID_JSON", at("10.0.0"), "IpConfigurations[0].IpAddress"],
    ["HCN_E_INVALID_IP", at("0.0.0.0"), "0.0.0.0 is not a valid address for an endpoint"],
    ["HCN_E_INVALID_IP", at("10.0.0.2", 33), "PrefixLength: expected at most 32, got 33"],
    [
      "HCN_E_ADDR_INVALID_OR_RESERVED",
      at("10.0.1.2"),
      "is outside the network: expected an address in 10.0.0.0/24, fd00::/64",
    ],
    ["HCN_E_ADDR_INVALID_OR_RESERVED", at("10.0.0.1"), "is a gateway"],
    ["HCN_E_ADDR_INVALID_OR_RESERVED", at("10.0.0.9"), "is in use by another endpoint"],
    [
      "HCN_E_INVALID_IP",
      { Routes: [{ NextHop: "fd00::1", DestinationPrefix: "0.0.0.0/0" }] },
      "Routes[0]: next hop fd00::1 and destination prefix 0.0.0.0/0 are of different address families",
    ],
  ] as const)("refuses endpoints with %s", async (name, settings, message) => {
    await endpoint(at("10.0.0.9"));
    await expect(endpoint(settings)).rejects.toMatchObject({
      ...result(name),
      message: expect.stringContaining(message),
    });
    expect(await endpoint(at("fd00::9", 64))).toMatchObject(at("fd00::9", 64));
  });

  it("refuses objects that are missing, exist already, or are in use", async () => {
    const ID = await inNamespace();
    const cases: readonly (readonly [HresultName, () => unknown])[] = [
      ["E_INVALIDARG", () => service.query("network", "n")],
      ["E_INVALIDARG", () => service.create("endpoint", {})],
      ["HCN_E_NETWORK_NOT_FOUND", () => service.create("endpoint", {}, unknown)],
      ["HCN_E_ENDPOINT_NOT_FOUND", () => service.query("endpoint", unknown)],
      ["HCN_E_ENDPOINT_NOT_FOUND", () => modify("Add", unknown)],
      ["ERROR_NOT_FOUND", () => service.delete("namespace", unknown)],
      ["HCN_E_NETWORK_ALREADY_EXISTS", () => service.create("network", { ID: network, Type: "NAT" })],
      ["ERROR_ALREADY_EXISTS", () => endpoint({ ID })],
      ["ERROR_ALREADY_EXISTS", () => service.create("namespace", { ID: namespace })],
      ["HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS", () => modify("Add", ID)],
      ["HCN_E_ENTITY_HAS_REFERENCES", () => service.delete("network", network)],
      ["HCN_E_INVALID_JSON", () => modify("Update", ID)],
      [
        "HCN_E_INVALID_IP",
        () =>
          service.create("network", {
            Type: "NAT",
            Ipams: [
              {
                Subnets: [
                  { IpAddressPrefix: "10.0.0.0/24", Routes: [{ NextHop: "10.0.1.1", DestinationPrefix: "0.0.0.0/0" }] },
                ],
              },
            ],
          }),
      ],
    ];
    for (const [name, attempt] of cases) {
      await expect((async () => await attempt())(), name).rejects.toMatchObject(result(name));
    }
    await modify("Remove", ID);
    await expect(modify("Remove", ID)).rejects.toMatchObject(result("ERROR_NOT_FOUND"));
  });

  it("leaves no network behind if its switch cannot be made, and keeps it if the switch cannot be removed", async () => {
    switches.failure = new Error("no bridges here");
    await expect(service.create("network", { ID: unknown, Type: "NAT" })).rejects.toThrow("no bridges here");
    expect(() => service.query("network", unknown)).toThrow(/network .* does not exist/);
    switches.failure = new Error("busy");
    await expect(service.delete("network", network)).rejects.toThrow("busy");
    await service.delete("network", network);
  });

  describe("NICs", () => {
    const nothing = (): void => {};

    it("hold an endpoint of a namespace, one NIC at a time", async () => {
      const { ID } = await endpoint({ MacAddress: "00-15-5D-AA-BB-CC" });
      const attach = (mac?: string) => service.attach(ID, mac, nothing);
      expect(() => attach()).toThrow(expect.objectContaining(result("HCN_E_INVALID_ENDPOINT")));
      await modify("Add", ID);
      expect(() => attach("00-15-5D-00-00-01")).toThrow(expect.objectContaining(result("E_INVALIDARG")));
      const attachment = attach("00:15:5d:aa:bb:cc");
      expect(attachment.macAddress).toBe("00:15:5d:aa:bb:cc");
      expect(() => attach()).toThrow(expect.objectContaining(result("HCN_E_ENDPOINT_ALREADY_ATTACHED")));
      attachment.release();
      const second = attach();
      attachment.release();
      expect(() => attach()).toThrow(expect.objectContaining(result("HCN_E_ENDPOINT_ALREADY_ATTACHED")));
      second.release();
      expect(() => service.attach(unknown, undefined, nothing)).toThrow(/endpoint .* does not exist/);
    });

    it("are disconnected when the endpoint is deleted", async () => {
      const ID = await inNamespace();
      const calls: string[] = [];
      const attachment = service.attach(ID, undefined, () => calls.push("disconnected"));
      await service.delete("endpoint", ID);
      expect(calls).toEqual(["disconnected"]);
      attachment.release();
    });
  });
});
