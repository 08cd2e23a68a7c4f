import { execFileSync } from "node:child_process";
import { createNetworkNamespace } from "@uvm-shim/linux-calls";
import type { Machine } from "./machine.ts";

/** The outside of a machine's NICs, as the emulated host has it. */
export interface Plugs {
  /** The guest has the NIC, and does not know of it yet. */
  plug(machine: Machine, number: number): void;
  unplug(number: number): void;
  close(): void;
}

export function nicId(number: number): string {
  return `${String(number).padStart(8, "0")}-0000-4000-8000-000000000000`;
}

export function makePlugs(): Plugs {
  const outside = createNetworkNamespace();
  return {
    plug: (machine, number) => {
      const name = `nic${nicId(number).replaceAll("-", "").slice(0, 12)}`;
      const link = ["link", "add", `port${number}`, "type", "veth", "peer", "name", `end${number}`];
      const move = ["link", "set", `end${number}`, "netns", String(machine.init), "name", name];
      outside.run(() => {
        for (const command of [link, move, ["link", "set", `port${number}`, "up"]]) execFileSync("ip", command);
      });
    },
    unplug: (number) => {
      outside.run(() => execFileSync("ip", ["link", "del", `port${number}`]));
    },
    close: () => outside.close(),
  };
}
