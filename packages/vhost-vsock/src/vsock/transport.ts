import type { Duplex } from "node:stream";
import type { DeviceLimits, HostPorts } from "../types.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { hostCid, operations, type Packet, type PacketHeader, streamType } from "./packet.ts";

/** What holds where a device is made without limits of its own. */
export const usualLimits: DeviceLimits = {
  connections: 1024,
  aheadOfHost: 256 * 1024,
  aheadOfHostInAll: 64 * 1024 * 1024,
};

/** With less, a guest that sends has to wait for the host all the time. */
const leastAhead = 16 * 1024;
/** The part of what is left that one more connection gets. */
const partForOne = 8;
/** Resets for packets without a connection, before packets of the guest have to wait for it to take some. */
const mostResets = 256;
/** Ports of the host for connections that it opens itself; programs of the guest dial lower ones. */
const firstOwnPort = 0xc0000000;
const lastOwnPort = 0xfffffffe;

/** All connections of one guest: its packets in, packets for it out. Moves no bytes itself. */
export class VsockTransport implements ConnectionOwner {
  readonly #guestCid: number;
  readonly #ports: HostPorts;
  readonly #limits: DeviceLimits;
  readonly #onOutput: () => void;
  readonly #connections = new Map<string, Connection>();
  /** Those with something for the guest, each in its turn. */
  readonly #ready = new Set<Connection>();
  readonly #resets: PacketHeader[] = [];
  #promised = 0;
  /** Connections that have ended for the guest, and whose last bytes the host has not taken. */
  #leaving = 0;
  #nextOwnPort = firstOwnPort;

  constructor(guestCid: number, ports: HostPorts, limits: Partial<DeviceLimits>, onOutput: () => void) {
    this.#guestCid = guestCid;
    this.#ports = ports;
    this.#limits = { ...usualLimits, ...limits };
    this.#onOutput = onOutput;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** False while the guest does not take what its packets have brought about. */
  get takesPackets(): boolean {
    return this.#resets.length < mostResets;
  }

  get hasOutput(): boolean {
    if (this.#resets.length > 0) return true;
    for (const connection of this.#ready) {
      if (connection.hasOutput) return true;
      // It had, and the guest has since taken back what it can hold, or wants no more.
      this.#ready.delete(connection);
    }
    return false;
  }

  receive({ header, data }: Packet): void {
    // The driver sends nothing else; whoever does gets no answer, as there is none to send it to.
    if (header.sourceCid !== this.#guestCid || header.targetCid !== hostCid) return;
    const key = keyOf(header.sourcePort, header.targetPort);
    const connection = this.#connections.get(key);
    if (header.operation === operations.reset) {
      if (connection !== undefined) this.#remove(connection);
      return;
    }
    if (connection === undefined) {
      const isRequest = header.operation === operations.request && header.type === streamType;
      if (isRequest && this.#hasRoom()) this.#dial(header);
      else this.#reset(header);
      return;
    }
    if (header.type !== streamType || !connection.receive(header, data)) {
      this.#remove(connection);
      this.#reset(header);
    }
  }

  /** The next packet for the guest, with at most so many bytes of data. */
  next(most: number): { readonly header: PacketHeader; readonly data: Uint8Array | undefined } | undefined {
    const reset = this.#resets.shift();
    if (reset !== undefined) return { header: reset, data: undefined };
    for (const connection of this.#ready) {
      this.#ready.delete(connection);
      const output = connection.next(most);
      if (output === undefined) continue;
      if (connection.hasOutput && this.#isCurrent(connection)) this.#ready.add(connection);
      const { operation, flags, data } = output;
      return {
        header: {
          sourceCid: hostCid,
          targetCid: this.#guestCid,
          sourcePort: connection.hostPort,
          targetPort: connection.guestPort,
          length: data?.length ?? 0,
          type: streamType,
          operation,
          flags,
          bufferSize: connection.bufferSize,
          taken: connection.taken,
        },
        data,
      };
    }
    return undefined;
  }

  /**
   * Dials a port of the guest for a stream. `opened` is called once, with the port that the host has, or with undefined if
   * the guest refuses; after that the stream carries the connection.
   */
  connect(guestPort: number, stream: Duplex, opened: (hostPort: number | undefined) => void): void {
    const hostPort = this.#freeOwnPort(guestPort);
    if (hostPort === undefined) {
      opened(undefined);
      return;
    }
    const connection = this.#add(guestPort, hostPort, "requested");
    connection.request((isAccepted) => {
      opened(isAccepted ? hostPort : undefined);
      if (isAccepted) connection.carry(stream);
    });
  }

  /** Ends every connection; what the guest has sent still reaches the host. */
  endAll(): void {
    for (const connection of this.#connections.values()) this.#remove(connection);
    this.#resets.length = 0;
  }

  becameReady(connection: Connection): void {
    if (!this.#isCurrent(connection)) return;
    this.#ready.add(connection);
    this.#onOutput();
  }

  ended(connection: Connection): void {
    this.#remove(connection);
  }

  #dial(header: PacketHeader): void {
    const connection = this.#add(header.sourcePort, header.targetPort, "dialing");
    connection.learnCredit(header);
    this.#ports.dial(header.targetPort).then(
      (stream) => {
        if (this.#isCurrent(connection)) connection.accept(stream);
        else stream.destroy();
      },
      () => {
        if (this.#isCurrent(connection)) connection.refuse();
      },
    );
  }

  #add(guestPort: number, hostPort: number, state: "dialing" | "requested"): Connection {
    const { aheadOfHost, aheadOfHostInAll } = this.#limits;
    const share = Math.floor((aheadOfHostInAll - this.#promised) / partForOne);
    const bufferSize = Math.min(aheadOfHost, Math.max(leastAhead, share));
    const connection = new Connection({ guestPort, hostPort, bufferSize, owner: this, state });
    this.#promised += bufferSize;
    this.#connections.set(keyOf(guestPort, hostPort), connection);
    return connection;
  }

  #remove(connection: Connection): void {
    if (!this.#isCurrent(connection)) return;
    this.#connections.delete(keyOf(connection.guestPort, connection.hostPort));
    this.#ready.delete(connection);
    this.#leaving++;
    connection.end(() => {
      this.#leaving--;
      this.#promised -= connection.bufferSize;
    });
  }

  #isCurrent(connection: Connection): boolean {
    return this.#connections.get(keyOf(connection.guestPort, connection.hostPort)) === connection;
  }

  #reset(header: PacketHeader): void {
    this.#resets.push({
      sourceCid: hostCid,
      targetCid: this.#guestCid,
      sourcePort: header.targetPort,
      targetPort: header.sourcePort,
      length: 0,
      type: header.type,
      operation: operations.reset,
      flags: 0,
      bufferSize: 0,
      taken: 0,
    });
    this.#onOutput();
  }

  /** Those that are leaving count for themselves, so that a guest which closes one can open another. */
  #hasRoom(): boolean {
    const { connections } = this.#limits;
    return this.#connections.size < connections && this.#leaving < connections;
  }

  /** A port that no connection with this port of the guest has; undefined if there are too many connections. */
  #freeOwnPort(guestPort: number): number | undefined {
    if (!this.#hasRoom()) return undefined;
    for (;;) {
      const port = this.#nextOwnPort;
      this.#nextOwnPort = port === lastOwnPort ? firstOwnPort : port + 1;
      if (!this.#connections.has(keyOf(guestPort, port))) return port;
    }
  }
}

function keyOf(guestPort: number, hostPort: number): string {
  return `${guestPort} ${hostPort}`;
}
