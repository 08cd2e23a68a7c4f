import type { Duplex } from "node:stream";
import {
  type Acquisition,
  type Acquisitions,
  abortable,
  acquireOrRelease,
  ControllerError,
  codeOf,
  messageOf,
  observe,
  reportOccurrence,
} from "@uvm-shim/lifecycle";
import type { GuestLog } from "./guest-log/guest-log.ts";
import { PortServer } from "./guest-log/port-server.ts";
import type { GuestConnector, HvsocketService, VmComputeSystem, VmFlavour, VmGuest } from "./types.ts";

/** Bytes of entropy that a booting guest is given. */
const entropyBytes = 512;
/** Concurrent entropy connections: a guest that loses its connection dials again. */
const seedings = 8;

/** What a start of a VM is made from. */
export interface Launch<Guest extends VmGuest> {
  readonly system: VmComputeSystem;
  readonly flavour: VmFlavour<Guest>;
  readonly log: GuestLog;
  readonly connectGuest: GuestConnector<Guest>;
  /** Records everything that the launch acquires, at once. */
  readonly held: Acquisitions;
  /** Waits a moment for the guest's last log lines before the log's connections are closed. */
  readonly drain: (idle: Promise<void>) => Promise<void>;
  /** Called with the phase that begins, for error messages. */
  readonly onPhase: (phase: string) => void;
  /** Called when the host has started the compute system, and will report its exit. */
  readonly onStarted: () => void;
}

/**
 * Starts the compute system and waits until its guest is connected. The listeners for what a booting guest dials
 * (entropy, log, bridge) are opened before the start, since a guest does not dial again.
 */
export async function launch<Guest extends VmGuest>(parts: Launch<Guest>, signal: AbortSignal): Promise<Guest> {
  const { system, flavour, held, onPhase } = parts;
  const { services, entropy } = flavour;
  const listen = async (service: HvsocketService) =>
    acquireOrRelease(system.listen(service), signal, (late) => late.close());
  /** Listeners that are closed when the guest is connected. */
  const boot: Acquisition[] = [];

  const phase = <T>(name: string, work: () => Promise<T>): Promise<T> => {
    onPhase(name);
    return observe({ kind: "phase", name }, work);
  };

  const bridge = await phase("opening the listeners", async () => {
    if (entropy !== undefined) {
      const server = new PortServer(await listen(entropy.service), sowing(entropy.generate), seedings);
      boot.push(hold(held, "entropy listener", () => server.close()));
    }
    const log = new PortServer(await listen(services.log), parts.log.serve, flavour.logConnections);
    hold(held, "log listener", async () => {
      await parts.drain(log.idle);
      await log.close();
    });
    return await listen(services.bridge);
  });
  boot.push(hold(held, "bridge listener", () => bridge.close()));

  await phase("starting the compute system", () => abortable(system.start(signal).then(parts.onStarted), signal));
  const stream = await phase("waiting for the guest to dial in", () =>
    acquireOrRelease(bridge.accept(signal), signal, async (late) => void late.destroy()),
  );
  reportOccurrence("guest dialled");
  // The bridge handles errors while it is in use; before and after that an unhandled one would end the shim.
  stream.on("error", () => {});
  hold(held, "bridge connection", async () => void stream.destroy());
  const guest = await phase("negotiating with the guest", () =>
    acquireOrRelease(parts.connectGuest(stream, system, signal), signal, (late) => late.close()),
  );
  hold(held, "bridge", () => guest.close());
  await phase("configuring the guest", async () => {
    if (flavour.connected !== undefined) await abortable(flavour.connected(guest, system, signal), signal);
  });

  // These services must not be dialled again. A listener that cannot be closed now is closed with the VM.
  for (const listener of boot) {
    await listener.release(signal).then(
      () => held.forget(listener),
      () => {},
    );
  }
  return guest;
}

function sowing(generate: (bytes: number) => Uint8Array) {
  return (stream: Duplex): void => {
    stream.resume();
    stream.end(generate(entropyBytes));
  };
}

function hold(held: Acquisitions, name: string, close: () => Promise<void>): Acquisition {
  const acquisition: Acquisition = { name, release: (signal) => abortable(close(), signal) };
  held.add(acquisition);
  return acquisition;
}

/** An error with the phase, the elapsed time and the guest's last log lines. */
export function startError(
  id: string,
  error: unknown,
  { phase, elapsedMs, lastLines }: { phase: string; elapsedMs: number; lastLines: readonly string[] },
): ControllerError {
  const log =
    lastLines.length === 0 ? "the guest logged nothing" : `the guest's last log lines: ${lastLines.join(" | ")}`;
  return new ControllerError(codeOf(error), `while ${phase}, after ${elapsedMs} ms: ${messageOf(error)}; ${log}`, {
    operation: "start VM",
    id,
    cause: error,
  });
}
