import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { type Acquisition, type Acquisitions, abortable } from "@uvm-shim/lifecycle";
import { acquire } from "./abandon.ts";
import type { GuestLog } from "./guest-log.ts";
import { PortServer } from "./port-server.ts";
import type { GuestConnector, VmComputeSystem, VmGuest } from "./types.ts";

/** Bytes that seed the guest's random number generator when it boots. */
export const entropyBytes = 512;

export interface Launch<Guest extends VmGuest> {
  readonly system: VmComputeSystem;
  readonly entropy: (bytes: number) => Uint8Array;
  readonly log: GuestLog;
  readonly connectGuest: GuestConnector<Guest>;
  /** Takes everything that the launch acquires, at the moment it does. */
  readonly held: Acquisitions;
  /** Gives the guest's last log lines a moment to arrive, before the log's connections are cut. */
  readonly drain: (idle: Promise<void>) => Promise<void>;
  /** Told what is being waited for, for error messages. */
  readonly onPhase: (phase: string) => void;
  /** Told when the host has started the system, and will report its exit. */
  readonly onStarted: () => void;
}

/**
 * Starts the compute system and waits until its guest can be spoken with. What a booting guest dials (entropy, log,
 * bridge) is listened on before the system starts, for a guest that finds nobody does not dial again.
 */
export async function launch<Guest extends VmGuest>(parts: Launch<Guest>, signal: AbortSignal): Promise<Guest> {
  const { system, held, onPhase } = parts;
  const listen = async (port: number) => acquire(system.listen(port), signal, (late) => late.close());

  onPhase("opening the listeners");
  const entropy = new PortServer(await listen(linuxVsockPorts.entropy), (stream) => {
    stream.resume();
    stream.end(parts.entropy(entropyBytes));
  });
  const entropyHeld = hold(held, "entropy listener", () => entropy.close());
  const log = new PortServer(await listen(linuxVsockPorts.log), parts.log.serve);
  hold(held, "log listener", async () => {
    await parts.drain(log.idle);
    await log.close();
  });
  const bridge = await listen(linuxVsockPorts.gcs);
  const bridgeHeld = hold(held, "bridge listener", () => bridge.close());

  onPhase("starting the compute system");
  await abortable(system.start(signal).then(parts.onStarted), signal);
  onPhase("waiting for the guest to dial in");
  const stream = await acquire(bridge.accept(signal), signal, async (late) => void late.destroy());
  // Who speaks over it hears of errors too; before and after that nobody would, and an unheard one ends the shim.
  stream.on("error", () => {});
  hold(held, "bridge connection", async () => void stream.destroy());
  onPhase("negotiating with the guest");
  const guest = await acquire(parts.connectGuest(stream, system, signal), signal, (late) => late.close());
  hold(held, "bridge", () => guest.close());

  // Nobody may dial these ports again. What cannot be closed now is closed with the VM.
  for (const listener of [entropyHeld, bridgeHeld]) {
    await listener.release(signal).then(
      () => held.forget(listener),
      () => {},
    );
  }
  return guest;
}

function hold(held: Acquisitions, name: string, close: () => Promise<void>): Acquisition {
  const acquisition: Acquisition = { name, release: (signal) => abortable(close(), signal) };
  held.add(acquisition);
  return acquisition;
}
