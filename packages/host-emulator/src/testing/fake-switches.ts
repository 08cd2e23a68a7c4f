import type { VirtualSwitch, VirtualSwitches } from "../networks/switches.ts";

/** Switches in memory. */
export class FakeSwitches implements VirtualSwitches {
  readonly networks = new Set<string>();
  /** If set, the next call fails with it. */
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
    const fail = () => Promise.reject(new Error("fake switches cannot plug NICs"));
    return { plug: fail, plugTap: fail };
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
