import type { HcnEndpoint, NetworkAdapter } from "@uvm-shim/hcs-schema";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { HostNetworks } from "../types.ts";

/** The networks under test, and a VM for NICs. */
export interface ContractNetworks {
  readonly networks: HostNetworks;
  addNic(nicId: string, adapter: NetworkAdapter): Promise<void>;
  removeNic(nicId: string, adapter: NetworkAdapter): Promise<void>;
  dispose(): Promise<void>;
}

const idOf = (number: number): string => `${String(number).padStart(8, "0")}-0000-4000-8000-0000000c0de0`;
const unknown = idOf(99);
const gone = { code: "NotFound", gone: true };

/** The contract of HostNetworks and NICs for all drivers and fakes. */
export function describeNetworkContract(name: string, setup: () => Promise<ContractNetworks>): void {
  describe(`the network contract: ${name}`, () => {
    let on: ContractNetworks;
    let networks: HostNetworks;
    let made: (() => Promise<void>)[] = [];

    beforeAll(async () => {
      on = await setup();
      networks = on.networks;
    });
    afterAll(() => on.dispose());
    afterEach(async () => {
      const undo = made.toReversed();
      made = [];
      for (const step of undo) {
        await step().catch((error: { code?: string }) => {
          if (error.code !== "NotFound") throw error;
        });
      }
    });

    async function network(): Promise<string> {
      const Ipams = [{ Subnets: [{ IpAddressPrefix: "10.0.0.0/24" }] }];
      const { ID } = await networks.createNetwork({ Type: "L2Bridge", Name: "contract", Ipams });
      made.push(() => networks.deleteNetwork(ID));
      return ID;
    }

    async function namespace(): Promise<string> {
      const { ID } = await networks.createNamespace({ Type: "Guest" });
      made.push(() => networks.deleteNamespace(ID));
      return ID;
    }

    async function endpoint(on: string, IpAddress = "10.0.0.2"): Promise<HcnEndpoint> {
      const IpConfigurations = [{ IpAddress, PrefixLength: 24 }];
      const created = await networks.createEndpoint(on, { Name: `contract_${IpAddress}`, IpConfigurations });
      made.push(() => networks.deleteEndpoint(created.ID));
      return created;
    }

    it("creates, finds and deletes objects by ids in any case", async () => {
      const ID = idOf(1);
      await networks.createNetwork({ ID, Type: "NAT", Name: "named" });
      expect(await networks.queryNetwork(ID.toUpperCase())).toMatchObject({ ID, Type: "NAT", Name: "named" });
      await expect(networks.createNetwork({ ID, Type: "NAT" })).rejects.toMatchObject({ code: "AlreadyExists" });
      await networks.deleteNetwork(ID.toUpperCase());
      await expect(networks.queryNetwork(ID)).rejects.toMatchObject(gone);
      await expect(networks.deleteNetwork(ID)).rejects.toMatchObject(gone);
    });

    it("marks errors for missing objects as gone", async () => {
      const id = await namespace();
      await expect(networks.queryEndpoint(unknown)).rejects.toMatchObject(gone);
      await expect(networks.queryNamespace(unknown)).rejects.toMatchObject(gone);
      await expect(networks.deleteEndpoint(unknown)).rejects.toMatchObject(gone);
      await expect(networks.deleteNamespace(unknown)).rejects.toMatchObject(gone);
      await expect(networks.createEndpoint(unknown, {})).rejects.toMatchObject(gone);
      await expect(networks.addNamespaceEndpoint(id, unknown)).rejects.toMatchObject(gone);
      await expect(networks.queryNetwork("contract")).rejects.toMatchObject({ code: "InvalidArgument" });
    });

    it("gives an endpoint a MAC address, and each address of a network only once", async () => {
      const id = await network();
      const { ID, MacAddress } = await endpoint(id);
      expect(MacAddress).toMatch(/^([0-9A-F]{2}-){5}[0-9A-F]{2}$/);
      expect(await networks.queryEndpoint(ID)).toMatchObject({
        ID,
        MacAddress,
        HostComputeNetwork: id,
        HostComputeNamespace: "",
        IpConfigurations: [{ IpAddress: "10.0.0.2", PrefixLength: 24 }],
      });
      await expect(endpoint(id)).rejects.toMatchObject({ code: "InvalidArgument" });
      await expect(networks.deleteNetwork(id)).rejects.toMatchObject({ code: "FailedPrecondition" });
    });

    it("has endpoints in one namespace at a time, in the order in which they were added", async () => {
      const on = await network();
      const [id, other] = [await namespace(), await namespace()];
      const [{ ID: first }, { ID: second }] = [await endpoint(on), await endpoint(on, "10.0.0.3")];
      await networks.addNamespaceEndpoint(id, first);
      await networks.addNamespaceEndpoint(id, second);
      const resources = [first, second].map((Id) => ({ Type: "Endpoint", Data: { Id } }));
      expect(await networks.queryNamespace(id)).toMatchObject({ ID: id, Type: "Guest", Resources: resources });
      expect(await networks.queryEndpoint(first)).toMatchObject({ HostComputeNamespace: id });
      await expect(networks.addNamespaceEndpoint(other, first)).rejects.toMatchObject({ code: "FailedPrecondition" });
      await networks.removeNamespaceEndpoint(id, first);
      await expect(networks.removeNamespaceEndpoint(id, first)).rejects.toMatchObject(gone);
      await networks.addNamespaceEndpoint(other, first);
      await networks.deleteEndpoint(second);
      expect((await networks.queryNamespace(id)).Resources ?? []).toEqual([]);
      await networks.deleteNamespace(other);
      expect(await networks.queryEndpoint(first)).toMatchObject({ HostComputeNamespace: "" });
    });

    describe("NICs", () => {
      it("need an endpoint that is in a namespace and has no NIC", async () => {
        const { ID: EndpointId, MacAddress = "" } = await endpoint(await network());
        const adapter = { EndpointId, MacAddress };
        const [one, two] = [idOf(11), idOf(12)];
        await expect(on.addNic(one, adapter)).rejects.toMatchObject({ code: "FailedPrecondition" });
        await networks.addNamespaceEndpoint(await namespace(), EndpointId);
        await expect(on.addNic(one, { EndpointId: unknown })).rejects.toMatchObject({ code: "NotFound" });
        const wrong = { EndpointId, MacAddress: "00-15-5D-99-99-99" };
        await expect(on.addNic(one, wrong)).rejects.toMatchObject({ code: "InvalidArgument" });
        await on.addNic(one, adapter);
        await expect(on.addNic(one, adapter)).rejects.toMatchObject({ code: "AlreadyExists" });
        await expect(on.addNic(two, adapter)).rejects.toMatchObject({ code: "FailedPrecondition" });
        await on.removeNic(one, adapter);
        await expect(on.removeNic(one, adapter)).rejects.toMatchObject(gone);
        await on.addNic(two, adapter);
        await on.removeNic(two, adapter);
      });

      it("outlive their endpoint", async () => {
        const { ID: EndpointId } = await endpoint(await network());
        await networks.addNamespaceEndpoint(await namespace(), EndpointId);
        await on.addNic(idOf(13), { EndpointId });
        await networks.deleteEndpoint(EndpointId);
        await on.removeNic(idOf(13), { EndpointId });
      });
    });
  });
}
