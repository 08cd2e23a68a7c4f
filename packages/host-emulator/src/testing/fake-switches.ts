import type { VirtualSwitch, VirtualSwitches } from "../networks/switches.ts";

/** Switches that are remembered only. */
export class FakeSwitches implements VirtualSwitches {
  readonly networks = new Set<string>();
  /** Set: the next call fails with it. */
  failure: Error | undefined;

  async add(network: string): Promise<void> {
    this.#failOnce();
    this.networks.add(network);
  }

  async remove(network: string): Promise<void> {
    this.#failOnce();
    this.networks.delete(network);
  }

  of(): VirtualSwitch {
    return { plug: () => Promise.reject(new Error("there is no cable here")) };
  }

  close(): void {
    this.networks.clear();
  }

  #failOnce(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}
