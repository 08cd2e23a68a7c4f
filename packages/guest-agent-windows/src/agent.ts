/** The life of the Windows guest's agent: boot, drive C:, and the bridge to the host. */

import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { GcsBridgeServer } from "@uvm-shim/gcs-bridge";
import {
  agentFolders,
  Children,
  denyHostCalls,
  dialPersistently,
  enterGuestRoot,
  GuestLog,
  loggedRequests,
  mountNewCgroups,
  reportPower,
  runUntilFailure,
  StateDump,
  serveGuestPorts,
} from "@uvm-shim/guest-agent-common";
import { windowsHvsocketServices } from "@uvm-shim/hcs-schema";
import { hostServicePath } from "@uvm-shim/host-protocol";
import {
  diskNode,
  guestFolders,
  hvsocketBaseName,
  readBootParameters,
  type WindowsBoot,
} from "@uvm-shim/host-protocol/guest";
import { delay, messageOf } from "@uvm-shim/lifecycle";
import { unblockSignal } from "@uvm-shim/linux-calls";
import { WindowsGuest, windowsCapabilities } from "./guest.ts";
import { WindowsMachine, windowsFolders } from "./hosted/machine.ts";
import type { DialService } from "./process/stdio-relay.ts";
import { LogForwarding } from "./services/log-forwarding.ts";
import { GuestDisks } from "./storage/guest-disks.ts";

const scratchTimeoutMs = 10_000;
const scratchPollMs = 10;

/** Runs until the power is turned off. Must be PID 1 of its own namespaces. */
export async function runWindowsAgent(): Promise<void> {
  const log = new GuestLog(process.stderr);
  await runUntilFailure(log, () => serve(log));
}

async function serve(log: GuestLog): Promise<void> {
  const parameters = readBootParameters(process.env);
  if (process.pid !== 1)
    throw new Error(`the guest agent runs as PID ${process.pid}: expected PID 1 of its own namespaces`);
  const { os, wine } = requireWindows(parameters.windows);
  const hvsockets = enterGuestRoot(parameters, {
    folders: [guestFolders.vsmbShares, guestFolders.pipes],
    attached: { [windowsFolders.os]: os, [windowsFolders.wine]: wine },
  });
  const dump = new StateDump(log);
  process.on("SIGUSR1", () => dump.write());
  // Only with a listener: without one, Node starts its debugger.
  unblockSignal("SIGUSR1");
  denyHostCalls({ needsBpf: existsSync(`${agentFolders.cgroups}/cgroup.procs`) });
  const children = new Children();
  const machine = new WindowsMachine(children);
  serveGuestPorts(hvsockets, new Map());
  reportPower(mountNewCgroups);
  await waitForScratch();
  const disks = new GuestDisks(windowsFolders, children);
  await machine.mountDrive(disks, new AbortController().signal);

  const dial: DialService = (service, signal) => dialService(hvsockets, service, signal);
  let bridge: GcsBridgeServer | undefined;
  const { memoryMb, processors } = parameters;
  const guest = new WindowsGuest({
    ...{ children, machine, disks, log, memoryMb, processors, dial },
    logs: new LogForwarding(dial),
    notify: (notification) => bridge?.notify(notification),
    powerOff: () => setImmediate(() => process.exit(0)),
  });
  log.info("guest is up", { memoryMb, processors });
  for (;;) {
    const stream = await dialPersistently(() => dial(windowsHvsocketServices.gcs, new AbortController().signal));
    bridge = new GcsBridgeServer(stream, loggedRequests(guest.handlers, log), { capabilities: windowsCapabilities });
    const cause = await bridge.closed;
    log.warning("the bridge to the host is lost", { cause: cause?.message });
  }
}

function requireWindows(boot: WindowsBoot | undefined): WindowsBoot {
  if (boot === undefined)
    throw new Error("the boot parameters have no part named windows: expected the folders of one");
  if (existsSync(boot.wine)) return boot;
  throw new Error(`Windows guests need Wine in ${boot.wine}: run npm run e2e:windows once, which fetches it`);
}

/** The host plugs the machine's own disk once the guest is up. */
async function waitForScratch(): Promise<void> {
  const node = diskNode(0, 0);
  for (let waited = 0; !existsSync(node); waited += scratchPollMs) {
    if (waited >= scratchTimeoutMs) {
      throw new Error(
        `the disk for what the virtual machine writes is not there: expected it as disk 0 of controller 0`,
      );
    }
    await delay(scratchPollMs);
  }
}

async function dialService(folder: string, service: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connect({ path: hostServicePath(`${folder}/${hvsocketBaseName}`, service), allowHalfOpen: true });
  try {
    await once(socket, "connect", { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    if (signal.aborted) throw signal.reason;
    throw new Error(`hvsocket service ${service} of the host: ${messageOf(error)}`, { cause: error });
  }
}
