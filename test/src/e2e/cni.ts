/** The networks that containerd gives to pods. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const VERSION = "1.0.0";
const POD_ADDRESS = "192.0.2.7/24";

/** Two networks, as pods with several interfaces have them; each is a bridge in the suite's own network namespace. */
export const NETWORKS = [
  { name: "first", bridge: "e2e0", prefix: "198.18.0", gateway: "198.18.0.1", mtu: 1400 },
  { name: "second", bridge: "e2e1", prefix: "198.18.1", gateway: "198.18.1.1", mtu: 1300 },
] as const;

/** Of the networks that plugins set up, in the directory of all. */
export function pluginNetworks(directory: string): string {
  return join(directory, "plugins");
}

/** Where the addresses are noted that the pods of a network have. */
export function addressesOf(directory: string, network: string): string {
  return join(directory, "addresses", network);
}

export function makeNetworks(directory: string): void {
  mkdirSync(directory);
  mkdirSync(pluginNetworks(directory));
  makeNothing(directory);
  for (const [index, { name, bridge, prefix, mtu }] of NETWORKS.entries()) {
    const ipam = {
      type: "host-local",
      dataDir: join(directory, "addresses"),
      ranges: [[{ subnet: `${prefix}.0/24` }]],
      ...(index === 0 ? { routes: [{ dst: "0.0.0.0/0" }] } : {}),
    };
    const plugins = [
      { type: "bridge", bridge, isGateway: true, hairpinMode: true, mtu, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ];
    const network = { cniVersion: VERSION, name, plugins: index === 0 ? plugins : plugins.slice(0, 1) };
    writeFileSync(join(pluginNetworks(directory), `${index}0-${name}.conflist`), JSON.stringify(network));
  }
}

/**
 * A network plugin that sets nothing up: pods have an address, and their VM has no NIC. Pods in the node's network would
 * need none, but containerd 2.1 crashes when one of those has the shim as sandboxer (containerd/containerd#12983).
 */
function makeNothing(directory: string): void {
  const result = {
    cniVersion: VERSION,
    interfaces: [{ name: "eth0", sandbox: "/" }],
    ips: [{ interface: 0, address: POD_ADDRESS }],
  };
  const plugin = (name: string, onAdd: string): void => {
    const script = ["#!/bin/sh", '[ "$CNI_COMMAND" = ADD ] || exit 0', onAdd, `echo '${JSON.stringify(result)}'`, ""];
    writeFileSync(join(directory, name), script.join("\n"), { mode: 0o755 });
  };
  plugin("nothing", ":");
  // containerd 1.7 has a plugin for each pod's loopback device; 2.1 sets it up by itself.
  plugin("loopback", 'nsenter "--net=$CNI_NETNS" busybox ip link set dev lo up');
  const network = { cniVersion: VERSION, name: "e2e", plugins: [{ type: "nothing" }] };
  writeFileSync(join(directory, "10-e2e.conflist"), JSON.stringify(network));
}
