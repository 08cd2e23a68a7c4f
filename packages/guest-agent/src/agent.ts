/** The life of the agent: boot, entropy, log, and the bridge to the host. */
import { writeFileSync } from "node:fs";
import { GcsBridgeServer } from "@uvm-shim/gcs-bridge";
import {
  Children,
  type Crash,
  dialPersistently,
  followMachineMemory,
  GuestLog,
  loggedRequests,
  runUntilFailure,
  StateDump,
} from "@uvm-shim/guest-agent-common";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { unblockSignal } from "@uvm-shim/linux-calls";
import { readGuestFacts } from "./boot/facts.ts";
import { bootMachine, type GuestMachine } from "./boot/machine.ts";
import { createRuntime, findRuntime } from "./container/runtime.ts";
import { Guest, guestCapabilities } from "./guest.ts";
import { writeResult } from "./requests/results.ts";
import { guestDevices } from "./storage/devices.ts";

const entropyBytes = 512;
const entropyTimeoutMs = 2000;

/** Runs until the power is turned off. Must be PID 1 of its own namespaces, or the child of a virtual machine's init. */
export async function runGuestAgent(): Promise<void> {
  const log = new GuestLog(process.stderr);
  await runUntilFailure(log, (crash) => serve(log, crash));
}

async function serve(log: GuestLog, crash: Crash): Promise<void> {
  const machine = bootMachine(process.env);
  const dump = new StateDump(log);
  process.on("SIGUSR1", () => dump.write());
  // Only with a listener: without one, Node starts its debugger.
  unblockSignal("SIGUSR1");
  const children = new Children();
  const containerMemory = followMachineMemory();
  const runtime = createRuntime(findRuntime(), children);
  machine.reportUp();

  const { dial } = machine;
  await Promise.all([takeEntropy(dial, log), connectLog(dial, log)]);
  let bridge: GcsBridgeServer | undefined;
  const guest = new Guest({
    children,
    runtime,
    facts: readGuestFacts(),
    devices: guestDevices,
    log,
    attached: machine.attached,
    dial: machine.dialDescriptor,
    notify: (notification) => bridge?.notify(notification),
    powerOff: () => setImmediate(() => process.exit(0)),
    fail: crash,
  });
  const { memoryMb, processors } = machine;
  log.info("guest is up", { memoryMb, processors, containerMemory });
  for (;;) {
    const stream = await dialPersistently(() => dial(linuxVsockPorts.gcs));
    bridge = new GcsBridgeServer(stream, loggedRequests(guest.handlers, log), {
      capabilities: guestCapabilities,
      writeResult,
    });
    const cause = await bridge.closed;
    log.warning("the bridge to the host is lost", { cause: cause?.message });
  }
}

type Dial = GuestMachine["dial"];

/** The guest boots without the host's entropy as well: the kernel has its own. */
async function takeEntropy(dial: Dial, log: GuestLog): Promise<void> {
  try {
    const signal = AbortSignal.timeout(entropyTimeoutMs);
    const socket = await dial(linuxVsockPorts.entropy, signal);
    const abort = (): unknown => socket.destroy(new Error(`no entropy within ${entropyTimeoutMs} ms`));
    signal.addEventListener("abort", abort);
    try {
      let entropy = Buffer.alloc(0);
      for await (const chunk of socket) {
        entropy = Buffer.concat([entropy, chunk as Buffer]);
        if (entropy.length >= entropyBytes) break;
      }
      writeFileSync("/dev/urandom", entropy.subarray(0, entropyBytes));
    } finally {
      signal.removeEventListener("abort", abort);
      socket.destroy();
    }
  } catch (error) {
    log.info("no entropy from the host", { error: String(error) });
  }
}

async function connectLog(dial: Dial, log: GuestLog): Promise<void> {
  try {
    const socket = await dial(linuxVsockPorts.log);
    socket.resume();
    log.forwardTo(socket);
  } catch (error) {
    log.info("no log port at the host, logging to the console", { error: String(error) });
  }
}
