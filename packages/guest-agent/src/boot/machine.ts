/** What the agent's machine is: namespaces of the emulated host's, or a virtual machine with a kernel of its own. */
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { availableParallelism, totalmem } from "node:os";
import {
  agentFolders,
  denyHostCalls,
  dialHost,
  dialHostDescriptor,
  dialVsock,
  dialVsockDescriptor,
  enterGuestRoot,
  enterVirtualMachine,
  followMachineMemory,
  mountNewCgroups,
  reportPower,
  serveGuestPorts,
} from "@uvm-shim/guest-agent-common";
import { guestFolders, readBootParameters, virtualMachineVariable } from "@uvm-shim/host-protocol/guest";
import { dialledShares } from "../attached/dialled-shares.ts";
import { findPluggedNic, mountPluggedShare, pluggedDisks } from "../attached/plugged.ts";
import { scsiDisks } from "../attached/scsi-disks.ts";
import { verifiedDisks } from "../attached/verified-disks.ts";
import { nicsByAddress } from "../attached/virtio-nics.ts";
import type { Attached } from "../surroundings.ts";

/** The machine after its boot. */
export interface GuestMachine {
  readonly memoryMb: number;
  readonly processors: number;
  readonly attached: Attached;
  /** Dials a port of the host. */
  dial(port: number, signal?: AbortSignal): Promise<Socket>;
  /** As `dial`, but the caller owns the descriptor. */
  dialDescriptor(port: number, signal: AbortSignal): Promise<number>;
  /** Tells the host that the guest is up, and follows what the host says to that. */
  reportUp(): void;
}

type Environment = Parameters<typeof readBootParameters>[0];

/** Makes the root, and what else the agent runs in, of the machine that the environment tells of. */
export function bootMachine(environment: Environment): GuestMachine {
  return environment[virtualMachineVariable] === undefined ? bootNamespaces(environment) : bootVirtualMachine();
}

function bootNamespaces(environment: Environment): GuestMachine {
  const parameters = readBootParameters(environment);
  if (process.pid !== 1)
    throw new Error(`the guest agent runs as PID ${process.pid}: expected PID 1 of its own namespaces`);
  const hvsockets = enterGuestRoot(parameters, { folders: [guestFolders.plan9Shares] });
  denyHostCalls({ needsBpf: existsSync(`${agentFolders.cgroups}/cgroup.procs`) });
  return {
    memoryMb: parameters.memoryMb,
    processors: parameters.processors,
    attached: { disks: pluggedDisks, mountShare: mountPluggedShare, findNic: findPluggedNic },
    dial: (port, signal) => dialHost(hvsockets, port, signal),
    dialDescriptor: (port, signal) => dialHostDescriptor(hvsockets, port, signal),
    reportUp: () => {
      serveGuestPorts(hvsockets, new Map());
      reportPower(() => {
        mountNewCgroups();
        followMachineMemory();
      });
    },
  };
}

/** Its power is the machine's own: init turns it off when the agent ends, and asks it to when the power button is pressed. */
function bootVirtualMachine(): GuestMachine {
  enterVirtualMachine();
  return {
    memoryMb: Math.floor(totalmem() / 2 ** 20),
    processors: availableParallelism(),
    attached: {
      disks: scsiDisks(),
      verified: verifiedDisks,
      mountShare: dialledShares(dialVsockDescriptor),
      findNic: nicsByAddress(),
    },
    dial: dialVsock,
    dialDescriptor: dialVsockDescriptor,
    reportUp: () => process.on("SIGTERM", () => process.exit(0)),
  };
}
