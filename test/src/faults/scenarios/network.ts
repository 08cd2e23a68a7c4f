import { flavours, NetworkBench } from "@uvm-shim/controller-network/testing";
import type { Scenario } from "../scenario.ts";

const controller = "controller-network";

const flavourNames = { lcow: "LCOW", wcow: "WCOW" };

/** Setup, a change of the namespace that is followed, and teardown. */
export const networkScenarios: readonly Scenario[] = flavours.map((flavour) => ({
  controller,
  name: `two endpoints, one goes and one comes (${flavourNames[flavour]})`,
  async begin({ script, callers }) {
    const bench = await NetworkBench.make(flavour, { script, names: ["a_eth1", "b_eth0"] });
    const { controller: network } = bench;
    return {
      async act() {
        await callers.attempt((signal) => network.setup(signal));
        if (network.state.kind === "Configured") {
          await bench.addEndpoint({ Name: "c_eth2" });
          await bench.removeEndpoint(network.nics[0]?.endpointId ?? "");
          await callers.attempt((signal) => network.sync(signal));
        }
        await callers.attempt((signal) => network.teardown(signal));
      },
      cleanUp: () => network.teardown(),
      leftovers: () => [
        ...bench.left,
        ...network.nics.map(({ id }) => `tracked NIC ${id}`),
        ...(network.state.kind === "TornDown" ? [] : [`a network that is ${network.state.kind}`]),
      ],
    };
  },
}));
