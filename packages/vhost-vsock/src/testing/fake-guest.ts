import {
  headerBytes,
  hostCid,
  operations,
  type PacketHeader,
  readHeader,
  shutdownFlags,
  streamType,
} from "../vsock/packet.ts";

/** The guest's address. */
export const guestCid = 42;
const headerLength = 44;
const mostData = 64 * 1024;

/** A packet as a test writes and reads it. */
export interface GuestPacket {
  readonly header: PacketHeader;
  readonly data: Buffer;
}

/** A packet of the guest as bytes. */
export function packetOf(parts: Partial<PacketHeader>, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = {
    sourceCid: guestCid,
    targetCid: hostCid,
    sourcePort: 0,
    targetPort: 0,
    length: data.length,
    type: streamType,
    operation: 0,
    flags: 0,
    bufferSize: 1 << 18,
    taken: 0,
    ...parts,
  };
  return Buffer.concat([headerBytes(header), data]);
}

/** Where a guest's packets go, and come from. */
export interface GuestLink {
  send(packet: Buffer): void;
  onPacket: (packet: Buffer) => void;
}

/** The vsock of a guest's kernel, as far as programs of a test need it. */
export class FakeGuest {
  readonly #link: GuestLink;
  readonly #sockets = new Map<string, GuestSocket>();
  readonly #listeners = new Map<number, (socket: GuestSocket) => void>();
  #nextPort = 1000;

  constructor(link: GuestLink) {
    this.#link = link;
    link.onPacket = (bytes) => {
      const header = readHeader(bytes.subarray(0, headerLength));
      this.#receive({ header, data: bytes.subarray(headerLength, headerLength + header.length) });
    };
  }

  connect(port: number, bufferSize?: number): Promise<GuestSocket> {
    const socket = this.#add(this.#nextPort++, port, bufferSize);
    socket.send(operations.request);
    return socket.opened;
  }

  listen(port: number, accept: (socket: GuestSocket) => void): void {
    this.#listeners.set(port, accept);
  }

  #add(guestPort: number, hostPort: number, bufferSize?: number): GuestSocket {
    const key = `${guestPort} ${hostPort}`;
    const socket = new GuestSocket(
      (parts, data) => this.#link.send(packetOf({ sourcePort: guestPort, targetPort: hostPort, ...parts }, data)),
      () => this.#sockets.delete(key),
      bufferSize,
    );
    this.#sockets.set(key, socket);
    return socket;
  }

  #receive(packet: GuestPacket): void {
    const { sourcePort: hostPort, targetPort: guestPort, operation } = packet.header;
    const socket = this.#sockets.get(`${guestPort} ${hostPort}`);
    if (socket !== undefined) {
      socket.receive(packet);
      return;
    }
    const accept = operation === operations.request ? this.#listeners.get(guestPort) : undefined;
    if (accept !== undefined) {
      const made = this.#add(guestPort, hostPort);
      made.accept(packet.header);
      accept(made);
    } else if (operation !== operations.reset) {
      const parts = { sourcePort: guestPort, targetPort: hostPort, operation: operations.reset };
      this.#link.send(packetOf(parts));
    }
  }
}

/** A stream socket of the guest. Its program reads all that comes, unless it is told to wait. */
export class GuestSocket {
  readonly opened: Promise<GuestSocket>;
  /** Resolves to all that the host has sent, at its end. */
  readonly received: Promise<Buffer>;
  /** Resolves when the connection is no more: by a reset, or because both sides have said so. */
  readonly closed: Promise<void>;
  readonly #send: (parts: Partial<PacketHeader>, data?: Buffer) => void;
  readonly #forget: () => void;
  readonly #bufferSize: number;
  readonly #open = Promise.withResolvers<GuestSocket>();
  readonly #end = Promise.withResolvers<Buffer>();
  readonly #close = Promise.withResolvers<void>();
  readonly #chunks: Buffer[] = [];
  readonly #unsent: Buffer[] = [];
  /** Whether it tells what its program has taken only if the device asks, or with something else. */
  tellsOnlyIfAsked = false;
  #receivedBytes = 0;
  #taken = 0;
  #told = 0;
  #sent = 0;
  #hostBufferSize = 0;
  #hostTaken = 0;
  #isPaused = false;
  #ends = 0;

  constructor(send: (parts: Partial<PacketHeader>, data?: Buffer) => void, forget: () => void, bufferSize = 1 << 18) {
    this.#send = send;
    this.#forget = forget;
    this.#bufferSize = bufferSize;
    this.opened = this.#open.promise;
    this.received = this.#end.promise;
    this.closed = this.#close.promise;
  }

  /** Bytes of the host that have come so far. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes that have been on their way to the host. */
  get sentBytes(): number {
    return this.#sent;
  }

  send(operation: number, parts: Partial<PacketHeader> = {}, data?: Buffer): void {
    this.#told = this.#taken;
    this.#send({ operation, bufferSize: this.#bufferSize, taken: this.#taken, ...parts }, data);
  }

  accept({ bufferSize, taken }: PacketHeader): void {
    this.#hostBufferSize = bufferSize;
    this.#hostTaken = taken;
    this.send(operations.response);
    this.#open.resolve(this);
  }

  write(data: Buffer): void {
    for (let at = 0; at < data.length; at += mostData) this.#unsent.push(data.subarray(at, at + mostData));
    this.#flush();
  }

  /** Half-closes after what was written. */
  end(): void {
    this.#ends |= shutdownFlags.send;
    this.#flush();
  }

  /** What close(2) does: neither sends nor receives any more. */
  close(): void {
    this.#ends |= shutdownFlags.both;
    this.#flush();
  }

  /** While it does, its program takes nothing that comes. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#take();
  }

  receive({ header, data }: GuestPacket): void {
    this.#hostBufferSize = header.bufferSize;
    this.#hostTaken = header.taken;
    switch (header.operation) {
      case operations.response:
        this.#open.resolve(this);
        break;
      case operations.reset:
        this.#open.reject(new Error("reset"));
        this.#open.promise.catch(() => {});
        this.#end.resolve(Buffer.concat(this.#chunks));
        this.#finish();
        return;
      case operations.data:
        this.#chunks.push(data);
        this.#receivedBytes += data.length;
        if (this.#receivedBytes - this.#taken > this.#bufferSize) throw new Error("the device sent more than agreed");
        this.#take();
        break;
      case operations.shutdown:
        if ((header.flags & shutdownFlags.send) !== 0) this.#end.resolve(Buffer.concat(this.#chunks));
        if (header.flags === shutdownFlags.both) {
          this.send(operations.reset);
          this.#finish();
          return;
        }
        break;
      case operations.creditRequest:
        this.send(operations.creditUpdate);
        break;
    }
    this.#flush();
  }

  #finish(): void {
    this.#forget();
    this.#close.resolve();
  }

  #take(): void {
    if (this.#isPaused) return;
    this.#taken = this.#receivedBytes;
    const isWorthTelling = this.#taken - this.#told >= this.#bufferSize / 2;
    if (isWorthTelling && !this.tellsOnlyIfAsked) this.send(operations.creditUpdate);
  }

  #flush(): void {
    for (let chunk = this.#unsent[0]; chunk !== undefined; chunk = this.#unsent[0]) {
      const credit = this.#hostBufferSize - (this.#sent - this.#hostTaken);
      if (credit <= 0) return;
      const data = chunk.subarray(0, credit);
      if (data.length === chunk.length) this.#unsent.shift();
      else this.#unsent[0] = chunk.subarray(data.length);
      this.#sent += data.length;
      this.send(operations.data, {}, data);
    }
    if (this.#ends === 0) return;
    this.send(operations.shutdown, { flags: this.#ends });
    this.#ends = 0;
  }
}
