/** The controllers' fakes promise what the host does: they pass the suite that the host's drivers pass. */
import { linuxNetworking, NetworkController } from "@uvm-shim/controller-network";
import { FakeLinuxGuest, FakeNetworks, guidOf } from "@uvm-shim/controller-network/testing";
import { expect, it } from "vitest";
import { describeNetworkContract } from "../../../packages/hcs-bindings/src/testing/network-contract.ts";
import { allSpellings, type Spelling } from "../../../packages/hcs-bindings/src/testing/respelling.ts";
import { FakeWindows } from "../../../packages/hcs-bindings/src/testing/windows/fake-windows.ts";

const spellings = [undefined, ...allSpellings];
const named = (spelling: Spelling | undefined): string => spelling ?? "the schema's own";

function driverOn(networks: FakeNetworks, spelling: Spelling | undefined): FakeWindows {
  const windows = new FakeWindows(networks);
  windows.machine.spelling = spelling;
  return windows;
}

describeNetworkContract("the fake of controller-network", async () => {
  const networks = new FakeNetworks();
  return {
    networks,
    addNic: (id, adapter) => networks.addNic(id, adapter),
    removeNic: (id, adapter) => networks.removeNic(id, adapter),
    dispose: async () => {},
  };
});

for (const spelling of spellings) {
  describeNetworkContract(`the Windows driver on that fake, answers in ${named(spelling)} case`, async () => {
    const fake = new FakeNetworks();
    const windows = driverOn(fake, spelling);
    const host = await windows.connect();
    return {
      networks: host.networks,
      addNic: (id, adapter) => fake.addNic(id, adapter),
      removeNic: (id, adapter) => fake.removeNic(id, adapter),
      dispose: async () => {
        await host.close();
        expect(await windows.leftovers()).toEqual([]);
      },
    };
  });
}

it.each(spellings)("a pod has its network where the host answers in %s case", async (spelling) => {
  const fake = new FakeNetworks();
  const windows = driverOn(fake, spelling);
  const host = await windows.connect();
  const { networks } = host;
  const { ID: network } = await networks.createNetwork({ Type: "L2Bridge" });
  const { ID: namespaceId } = await networks.createNamespace({ Type: "Guest" });
  for (const number of [2, 3]) {
    const IpConfigurations = [{ IpAddress: `10.0.0.${number}`, PrefixLength: 24 }];
    const { ID } = await networks.createEndpoint(network, { Name: `eth${number - 2}`, IpConfigurations });
    await networks.addNamespaceEndpoint(namespaceId, ID);
  }
  const guest = new FakeLinuxGuest(fake);
  const ids = [guidOf(0x100), guidOf(0x101)];
  const controller = new NetworkController({
    namespaceId,
    networks,
    host: fake,
    guest: linuxNetworking({ guest: () => guest }),
    newId: () => ids.shift() ?? "",
  });
  await controller.setup();
  expect([...guest.adapters.values()].map(({ IPConfigs }) => IPConfigs)).toEqual([
    [{ IPAddress: "10.0.0.2", PrefixLength: 24 }],
    [{ IPAddress: "10.0.0.3", PrefixLength: 24 }],
  ]);
  await controller.teardown();
  expect([fake.nics.size, guest.adapters.size]).toEqual([0, 0]);
  await host.close();
  expect(await windows.leftovers()).toEqual([]);
});
