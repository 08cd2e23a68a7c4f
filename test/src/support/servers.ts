import { readProcesses } from "../leaks/holdings.ts";

/** The lasting processes of a pod on the emulated host, recognized by their command lines. */
export const SERVERS = {
  shim: /^\S+\/node (--\S+ )*\S+\/shim-lcow\.cjs .*(?:-socket .*|start *)$/,
  // Of a virtual machine, the machine: its agent is no process here.
  "guest agent": /^(\S+\/node (--\S+ )*\S+\/initrd\.img$|\S*\/qemu-system-\S+ )/,
  "emulated host": /^\S+\/node (--\S+ )*\S+\/hcs-emulator\.cjs/,
} as const;

export type Server = keyof typeof SERVERS;

/** The pids of the servers where each runs once. */
export function findServers(): { readonly [server in Server]: number } {
  const processes = readProcesses();
  const pidOf = (server: Server): number => {
    const found = processes.filter(({ command }) => SERVERS[server].test(command)).map(({ pid }) => pid);
    const [pid] = found;
    if (pid === undefined || found.length > 1)
      throw new Error(`found ${found.length} processes of the ${server}: expected one`);
    return pid;
  };
  return { shim: pidOf("shim"), "guest agent": pidOf("guest agent"), "emulated host": pidOf("emulated host") };
}
