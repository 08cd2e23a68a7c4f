/** Runs ip(8) with a batch of commands, in the guest's network or in that of a container. */
import { rmSync, writeFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { openNetworkNamespace } from "@uvm-shim/linux-calls";
import { agentFolders } from "../boot/guest-folders.ts";
import type { Children } from "../process/children.ts";
import type { Commands } from "./commands.ts";

/** The pid whose network namespace is used, or the path of one; undefined for the VM's own. */
export type NamespaceOwner = number | string | undefined;

/** Runs a program in a network namespace until it ends. */
export type RunInNetwork = (
  command: string,
  parameters: readonly string[],
  owner: NamespaceOwner,
) => Promise<{ readonly exitCode: number; readonly stderr: string }>;

/** Starts programs in the network namespace of a process or of a file, or in the guest's own. */
export function runInNetwork(children: Children): RunInNetwork {
  return async (command, parameters, owner) => {
    const start = () => ({ done: children.run(command, parameters, { stdio: ["ignore", "ignore", "pipe"] }) });
    if (owner === undefined) return await start().done;
    const namespace = openNetworkNamespace(typeof owner === "number" ? `/proc/${owner}/ns/net` : owner);
    try {
      // The program stays in the namespace in which it was started.
      return await namespace.run(start).done;
    } finally {
      namespace.close();
    }
  };
}

let batches = 0;

/** Throws a GuestFault naming the command that failed. */
export async function runIp({ common, ipv6Rules }: Commands, owner: NamespaceOwner, run: RunInNetwork): Promise<void> {
  for (const [family, commands] of [
    [[], common],
    [["-6"], ipv6Rules],
  ] as const) {
    if (commands.length === 0) continue;
    const file = `${agentFolders.scratch}/ip-${++batches}`;
    writeFileSync(file, `${commands.join("\n")}\n`);
    try {
      const { exitCode, stderr } = await run("ip", [...family, "-batch", file], owner);
      if (exitCode !== 0) throw new GuestFault("E_FAIL", `ip: ${explain(stderr, commands)}`);
    } finally {
      rmSync(file, { force: true });
    }
  }
}

/** ip(8) reports the number of the line that failed. */
function explain(stderr: string, commands: readonly string[]): string {
  const line = /Command failed [^:]{0,256}:(\d+)/.exec(stderr)?.[1];
  const command = line === undefined ? commands.join("; ") : commands[Number(line) - 1];
  return `${stderr.split("\n")[0]} (${command})`;
}
