import { Lifecycle } from "@uvm-shim/lifecycle";
import { DescriptorListener, DescriptorSocket } from "@uvm-shim/linux-calls";
import { deviceErrorOf } from "./device-error.ts";
import { HostSockets } from "./host/host-sockets.ts";
import { type DeviceOperation, type DeviceState, type DeviceStateKind, deviceTable } from "./lifecycle.ts";
import { QueueWork } from "./queue-work.ts";
import type { DeviceEnd, ListeningOptions, VsockDeviceOptions } from "./types.ts";
import { VhostUserSession } from "./vhost-user/session.ts";
import { VsockTransport } from "./vsock/transport.ts";

/** The queues that a machine hands to its device; it keeps the one for events. */
const queueCount = 2;
/** struct virtio_vsock_config. */
const configLength = 8;
const leastCid = 3;
const largestCid = 0xfffffffe;

/**
 * The vsock device of one machine: its guest's connections lead to Unix sockets of the host, and the host's to ports of the
 * guest. Nothing that a guest or a machine does ends more than the device.
 */
export class VsockDevice {
  /** Resolves when the device has ended; it never rejects. */
  readonly ended: Promise<DeviceEnd>;
  readonly #lifecycle: Lifecycle<DeviceState, DeviceStateKind, DeviceOperation>;
  readonly #config: Buffer;
  readonly #transport: VsockTransport;
  readonly #sockets: HostSockets;
  readonly #work: QueueWork;
  readonly #resolveEnded: (end: DeviceEnd) => void;
  #listener: DescriptorListener | undefined;
  #session: VhostUserSession | undefined;

  private constructor({ id, guestCid, socketBase, limits }: VsockDeviceOptions) {
    this.#lifecycle = new Lifecycle<DeviceState, DeviceStateKind, DeviceOperation>(deviceTable, id, {
      kind: "Listening",
    });
    this.#config = Buffer.alloc(configLength);
    this.#config.writeBigUInt64LE(BigInt(guestCid));
    const { promise, resolve } = Promise.withResolvers<DeviceEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#sockets = new HostSockets(socketBase, (port, stream, opened) =>
      this.#transport.connect(port, stream, opened),
    );
    this.#transport = new VsockTransport(guestCid, this.#sockets, limits ?? {}, () => this.#work.wake());
    this.#work = new QueueWork(this.#transport, (error) => this.#fail(error));
  }

  /** Resolves once machine and host can connect. */
  static async listen(options: ListeningOptions): Promise<VsockDevice> {
    const device = await VsockDevice.#open(options);
    try {
      device.#listener = new DescriptorListener(options.machineSocket, VhostUserSession.mostDescriptors, {
        arrived: (peer) => device.#serve(peer),
        failed: (error) => device.#fail(error),
      });
    } catch (error) {
      device.close();
      throw error;
    }
    return device;
  }

  /**
   * Serves a machine that has the other end of this Unix stream socket: `-chardev socket,fd=...`. The device owns the
   * descriptor from the call on.
   */
  static async serve(options: VsockDeviceOptions, machine: number): Promise<VsockDevice> {
    const peer = new DescriptorSocket(machine, VhostUserSession.mostDescriptors);
    try {
      const device = await VsockDevice.#open(options);
      device.#serve(peer);
      return device;
    } catch (error) {
      peer.close();
      throw error;
    }
  }

  static async #open(options: VsockDeviceOptions): Promise<VsockDevice> {
    const { guestCid } = options;
    if (!Number.isInteger(guestCid) || guestCid < leastCid || guestCid > largestCid) {
      throw new RangeError(`invalid guest CID ${guestCid}: expected ${leastCid} to ${largestCid}`);
    }
    const device = new VsockDevice(options);
    await device.#sockets.listen();
    return device;
  }

  get state(): DeviceState {
    return this.#lifecycle.state;
  }

  /** Open connections of both directions, those that are not answered included. */
  get connections(): number {
    return this.#transport.connections;
  }

  /** Ends the device. Repeatable. What the guest has sent before still reaches the host. */
  close(): void {
    if (this.#lifecycle.happen("close", { kind: "Closed" })) this.#release({ kind: "closed" });
  }

  #serve(peer: DescriptorSocket): void {
    if (!this.#lifecycle.happen("connect", { kind: "Served" })) {
      peer.close();
      return;
    }
    const session = new VhostUserSession(peer, queueCount, this.#config, {
      queuesChanged: () => this.#work.wake(),
      driverRestarted: () => this.#transport.endAll(),
    });
    this.#session = session;
    this.#work.serve(session.rings);
    peer.watch(() => this.#guarded(() => session.handleMessages()));
    // Nobody else is served.
    this.#listener?.close();
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(cause: unknown): void {
    const error = deviceErrorOf(cause);
    if (this.#lifecycle.happen("fail", { kind: "Failed", error })) this.#release({ kind: "failed", error });
  }

  #release(end: DeviceEnd): void {
    this.#work.stop();
    this.#listener?.close();
    this.#session?.close(end.kind === "failed");
    this.#transport.endAll();
    this.#sockets.close();
    this.#resolveEnded(end);
  }
}
