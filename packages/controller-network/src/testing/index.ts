import type { HcnEndpointSettings } from "@uvm-shim/hcs-schema";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { NetworkController } from "../controller.ts";
import { linuxNetworking } from "../lcow.ts";
import { windowsNetworking } from "../wcow.ts";
import { FakeLinuxGuest, FakeWindowsGuest } from "./fake-guests.ts";
import { FakeNetworks, guidOf } from "./fake-networks.ts";

export { FakeLinuxGuest, FakeWindowsGuest } from "./fake-guests.ts";
export { FakeNetworks, guidOf } from "./fake-networks.ts";

/** The namespace of every bench. */
export const namespaceId = guidOf(0xabc);
/** The network of every bench's endpoints. */
export const networkId = guidOf(0xdef);
/** Whose guests a bench can have. */
export const flavours = ["lcow", "wcow"] as const;
/** One of `flavours`. */
export type Flavour = (typeof flavours)[number];

/** A controller of either flavour on fakes; NIC ids count from 0x100. */
export class NetworkBench {
  readonly networks: FakeNetworks;
  readonly linux: FakeLinuxGuest;
  readonly windows: FakeWindowsGuest;
  readonly controller: NetworkController;
  readonly warnings: string[] = [];
  #nics = 0x100;
  #endpoints = 0;

  private constructor(flavour: Flavour, script: ScriptedCalls | undefined, policyBasedRouting: boolean) {
    this.networks = new FakeNetworks(script);
    this.linux = new FakeLinuxGuest(this.networks);
    this.windows = new FakeWindowsGuest(this.networks);
    this.controller = new NetworkController({
      namespaceId,
      networks: this.networks,
      host: this.networks,
      guest:
        flavour === "lcow"
          ? linuxNetworking({ guest: () => this.linux, isHeld: () => this.linux.isHeld, policyBasedRouting })
          : windowsNetworking({ guest: () => this.windows, networks: this.networks }),
      newId: () => guidOf(this.#nics++),
      warn: (sentence) => void this.warnings.push(sentence),
    });
  }

  static async make(
    flavour: Flavour,
    options: {
      readonly script?: ScriptedCalls;
      readonly policyBasedRouting?: boolean;
      readonly names?: readonly string[];
    } = {},
  ): Promise<NetworkBench> {
    const { script, policyBasedRouting = false, names = [] } = options;
    const bench = new NetworkBench(flavour, script, policyBasedRouting);
    await bench.networks.createNetwork({ ID: networkId, Type: "L2Bridge" });
    await bench.networks.createNamespace({ ID: namespaceId });
    for (const Name of names) await bench.addEndpoint({ Name });
    return bench;
  }

  /** Creates an endpoint in the namespace, and returns its id. */
  async addEndpoint(settings: HcnEndpointSettings = {}): Promise<string> {
    this.#endpoints += 1;
    const { ID } = await this.networks.createEndpoint(networkId, {
      ID: guidOf(this.#endpoints),
      IpConfigurations: [{ IpAddress: `10.0.0.${this.#endpoints + 1}`, PrefixLength: 24 }],
      ...settings,
    });
    await this.networks.addNamespaceEndpoint(namespaceId, ID);
    return ID;
  }

  async removeEndpoint(id: string): Promise<void> {
    await this.networks.removeNamespaceEndpoint(namespaceId, id);
    await this.networks.deleteEndpoint(id);
  }

  /** NICs, adapters and namespaces that host and guest have. */
  get left(): readonly string[] {
    return [
      ...this.networks.nics.keys(),
      ...this.linux.adapters.keys(),
      ...this.windows.nics.keys(),
      ...this.windows.namespaces,
    ];
  }
}
