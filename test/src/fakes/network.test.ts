/** The controllers' fakes promise what the host does: they pass the suite that the host's drivers pass. */
import { FakeNetworks } from "@uvm-shim/controller-network/testing";
import { describeNetworkContract } from "../../../packages/hcs-bindings/src/testing/network-contract.ts";

describeNetworkContract("the fake of controller-network", async () => {
  const networks = new FakeNetworks();
  return {
    networks,
    addNic: (id, adapter) => networks.addNic(id, adapter),
    removeNic: (id, adapter) => networks.removeNic(id, adapter),
    dispose: async () => {},
  };
});
