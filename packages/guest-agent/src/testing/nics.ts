import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, writeFileSync } from "node:fs";
import { guestFolders, joinedNetwork, nicInterface } from "@uvm-shim/host-protocol/guest";
import { createNetworkNamespace, moveMount, openTree, withMountNamespace } from "@uvm-shim/linux-calls";
import type { Machine } from "./machine.ts";

/** The host's side of a machine's NICs. */
export interface Plugs {
  /** Plugs a NIC into the guest, which gets no request for it yet. */
  plug(machine: Machine, number: number): void;
  unplug(number: number): void;
  /** Offers a network namespace of the host, with a NIC of this number in it, for containers of the guest to join. */
  offer(machine: Machine, id: string, number: number): void;
  close(): void;
}

/** The GUID of a NIC with this number. */
export function nicId(number: number): string {
  return `${String(number).padStart(8, "0")}-0000-4000-8000-000000000000`;
}

function interfaceOf(number: number): string {
  return nicInterface(nicId(number));
}

/** A network outside of all guests, to which their NICs are connected. */
export function makePlugs(): Plugs {
  const outside = createNetworkNamespace();
  return {
    plug: (machine, number) => {
      const name = interfaceOf(number);
      const link = ["link", "add", `port${number}`, "type", "veth", "peer", "name", `end${number}`];
      const move = ["link", "set", `end${number}`, "netns", String(machine.init), "name", name];
      outside.run(() => {
        for (const command of [link, move, ["link", "set", `port${number}`, "up"]]) execFileSync("ip", command);
      });
    },
    unplug: (number) => {
      outside.run(() => execFileSync("ip", ["link", "del", `port${number}`]));
    },
    offer: (machine, id, number) => {
      const offered = createNetworkNamespace();
      try {
        offered.run(() => {
          const commands = [
            "link set lo up",
            `link add net1 type veth peer name far`,
            "link set net1 mtu 1400 up",
            `addr add 10.${number}.0.2/24 dev net1`,
          ];
          execFileSync("ip", ["-batch", "-"], { input: commands.join("\n") });
        });
        const tree = openTree(offered.path);
        try {
          withMountNamespace(machine.init, () => {
            const place = joinedNetwork(id);
            const { joinedNetworks, joinedNics } = guestFolders;
            for (const folder of [joinedNetworks, joinedNics]) mkdirSync(folder, { recursive: true });
            writeFileSync(place, "");
            moveMount(tree, place);
            writeFileSync(`${joinedNics}/${interfaceOf(number)}`, "net1\n");
          });
        } finally {
          closeSync(tree);
        }
      } finally {
        offered.close();
      }
    },
    close: () => outside.close(),
  };
}
