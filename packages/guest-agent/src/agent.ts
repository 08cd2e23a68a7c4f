/** The life of the agent: boot, entropy, log, and the bridge to the host. */
import { existsSync, writeFileSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { GcsBridgeServer } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { powerDescriptor, powerWords, readBootParameters } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import { unblockSignal } from "@uvm-shim/linux-calls";
import { readGuestFacts } from "./boot/facts.ts";
import { agentFolders } from "./boot/guest-folders.ts";
import { enterGuestRoot } from "./boot/guest-root.ts";
import { denyHostCalls } from "./boot/host-calls.ts";
import { dialHost, dialHostDescriptor, serveGuestPorts } from "./boot/hvsocket.ts";
import { StateDump } from "./boot/state-dump.ts";
import { followMachineMemory } from "./cgroups/cgroups.ts";
import { createRuntime, findRuntime } from "./container/runtime.ts";
import { Guest, guestCapabilities } from "./guest.ts";
import { GuestLog } from "./log.ts";
import { Children } from "./process/children.ts";
import { writeResult } from "./requests/results.ts";
import { guestDevices } from "./storage/devices.ts";

const entropyBytes = 512;
const entropyTimeoutMs = 2000;
/** The host is dialled until it answers or turns the power off: a new shim may take over the VM. */
const dialPauseMs = 100;

/** Runs until the power is turned off. Must be PID 1 of its own namespaces. */
export async function runGuestAgent(): Promise<void> {
  const log = new GuestLog(process.stderr);
  const crash = (error: unknown): never => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error("the agent has failed", { error: text });
    writeSync(process.stderr.fd, `guest agent: ${text}\n`);
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  try {
    await serve(log, crash);
  } catch (error) {
    crash(error);
  }
}

async function serve(log: GuestLog, crash: (cause: unknown) => never): Promise<void> {
  const parameters = readBootParameters(process.env);
  if (process.pid !== 1)
    throw new Error(`the guest agent runs as PID ${process.pid}: expected PID 1 of its own namespaces`);
  const hvsockets = enterGuestRoot(parameters);
  const dump = new StateDump(log);
  process.on("SIGUSR1", () => dump.write());
  // Only with a listener: without one, Node starts its debugger.
  unblockSignal("SIGUSR1");
  denyHostCalls({ needsBpf: existsSync(`${agentFolders.cgroups}/cgroup.procs`) });
  const children = new Children();
  const containerMemory = followMachineMemory();
  const runtime = createRuntime(findRuntime(), children);
  serveGuestPorts(hvsockets, new Map());
  reportPower();

  const dial = (port: number, signal?: AbortSignal): Promise<Socket> => dialHost(hvsockets, port, signal);
  await Promise.all([takeEntropy(dial, log), connectLog(dial, log)]);
  let bridge: GcsBridgeServer | undefined;
  const guest = new Guest({
    children,
    runtime,
    facts: readGuestFacts(),
    devices: guestDevices,
    log,
    dial: (port, signal) => dialHostDescriptor(hvsockets, port, signal),
    notify: (notification) => bridge?.notify(notification),
    powerOff: () => setImmediate(() => process.exit(0)),
    fail: crash,
  });
  log.info("guest is up", { memoryMb: parameters.memoryMb, processors: parameters.processors, containerMemory });
  for (;;) {
    const stream = await dialPersistently(() => dial(linuxVsockPorts.gcs));
    bridge = new GcsBridgeServer(stream, guest.handlers, { capabilities: guestCapabilities, writeResult });
    const cause = await bridge.closed;
    log.warning("the bridge to the host is lost", { cause: cause?.message });
  }
}

/** Reports to the emulated host that the guest is up. The host turns the power off by closing the connection. */
function reportPower(): void {
  const power = new Socket({ fd: powerDescriptor, readable: true, writable: true });
  const off = (): never => process.exit(0);
  power.on("end", off);
  power.on("close", off);
  power.on("error", off);
  power.resume();
  power.write(`${powerWords.up}\n`);
}

type Dial = (port: number, signal?: AbortSignal) => Promise<Socket>;

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

async function dialPersistently(dial: () => Promise<Socket>): Promise<Socket> {
  for (;;) {
    try {
      return await dial();
    } catch {
      await delay(dialPauseMs);
    }
  }
}
