import type { Duplex } from "node:stream";
import { operations, type PacketHeader, shutdownFlags } from "./packet.ts";

/** What a connection tells the table that it is in. */
export interface ConnectionOwner {
  /** There is something for the guest. */
  becameReady(connection: Connection): void;
  /** Neither side has anything to say about it any more. */
  ended(connection: Connection): void;
}

/** What a connection has for the guest next. */
export interface Output {
  readonly operation: number;
  readonly flags: number;
  readonly data?: Uint8Array;
}

/**
 * "dialing": the guest has asked, and the host's answer is not known; "requested": the host has asked, and the guest has
 * not answered; "open"; "refused": a reset is all that the guest still gets.
 */
type State = "dialing" | "requested" | "open" | "refused";

/** Bytes of the host that wait for the guest, before the host has to wait. */
const mostWaiting = 64 * 1024;

/**
 * One connection between a port of the guest and one of the host. Each side's half-close reaches the other one after the
 * data before it, and neither side can make it hold more than was agreed.
 */
export class Connection {
  readonly guestPort: number;
  readonly hostPort: number;
  /** What the guest may send ahead. */
  readonly bufferSize: number;
  readonly #owner: ConnectionOwner;
  #state: State;
  #stream: Duplex | undefined;
  #opened: ((isAccepted: boolean) => void) | undefined;

  /** Towards the host. */
  #received = 0;
  #taken = 0;
  #told = 0;
  #guestSends = true;
  #guestReceives = true;

  /** Towards the guest. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #sent = 0;
  #guestBufferSize = 0;
  #guestTaken = 0;
  #hostSends = true;
  #hostIsGone = false;
  #toldShutdown = 0;
  #answers = false;
  #requests: boolean;
  #tellsCredit = false;
  #asksCredit = false;
  #hasAskedCredit = false;

  constructor(parts: {
    readonly guestPort: number;
    readonly hostPort: number;
    readonly bufferSize: number;
    readonly owner: ConnectionOwner;
    readonly state: "dialing" | "requested";
  }) {
    this.guestPort = parts.guestPort;
    this.hostPort = parts.hostPort;
    this.bufferSize = parts.bufferSize;
    this.#owner = parts.owner;
    this.#state = parts.state;
    this.#requests = parts.state === "requested";
  }

  /** Bytes that the host has taken, modulo 2^32, for the next packet. */
  get taken(): number {
    return this.#taken;
  }

  /** What a packet says about the guest's buffer. */
  learnCredit({ bufferSize, taken }: PacketHeader): void {
    this.#guestBufferSize = bufferSize;
    this.#guestTaken = taken;
    this.#hasAskedCredit &&= this.#credit === 0;
  }

  /** The guest's request leads to this stream. */
  accept(stream: Duplex): void {
    this.#state = "open";
    this.#answers = true;
    this.#attach(stream);
    this.#owner.becameReady(this);
  }

  /** The guest's request leads nowhere. */
  refuse(): void {
    this.#state = "refused";
    this.#owner.becameReady(this);
  }

  /** Asks the guest. The action is called once, before the stream carries anything. */
  request(opened: (isAccepted: boolean) => void): void {
    this.#opened = opened;
    this.#owner.becameReady(this);
  }

  /** The stream of a request that the guest has accepted. */
  carry(stream: Duplex): void {
    this.#attach(stream);
  }

  /** Handles a packet of the guest; false if it may not send that now, which ends the connection with a reset. */
  receive(header: PacketHeader, data: Buffer): boolean {
    this.learnCredit(header);
    switch (header.operation) {
      case operations.response:
        return this.#receiveResponse();
      case operations.data:
        return this.#receiveData(data);
      case operations.shutdown:
        return this.#receiveShutdown(header.flags);
      case operations.creditUpdate:
        if (this.#state !== "open") return false;
        this.#announce();
        return true;
      case operations.creditRequest:
        if (this.#state !== "open") return false;
        this.#tellsCredit = true;
        this.#announce();
        return true;
      default:
        return false;
    }
  }

  /** True while `next` has something. */
  get hasOutput(): boolean {
    if (this.#state === "refused" || this.#requests || this.#answers) return true;
    if (this.#state !== "open") return false;
    if (this.#tellsCredit || this.#asksCredit) return true;
    if (this.#waitingBytes > 0) return this.#credit > 0;
    return (this.#dueShutdown() & ~this.#toldShutdown) !== 0;
  }

  /** Takes the next thing for the guest, with at most so many bytes of data. */
  next(most: number): Output | undefined {
    if (this.#requests) {
      this.#requests = false;
      return { operation: operations.request, flags: 0 };
    }
    if (this.#state === "refused") {
      this.#owner.ended(this);
      return { operation: operations.reset, flags: 0 };
    }
    if (this.#answers) {
      this.#answers = false;
      return { operation: operations.response, flags: 0 };
    }
    if (this.#state !== "open") return undefined;
    const told = this.#told;
    this.#told = this.#taken;
    if (this.#waitingBytes > 0 && this.#credit > 0) {
      this.#tellsCredit = false;
      const data = this.#takeWaiting(Math.min(most, this.#credit));
      this.#askCredit();
      return { operation: operations.data, flags: 0, data };
    }
    if (this.#tellsCredit) {
      this.#tellsCredit = false;
      return { operation: operations.creditUpdate, flags: 0 };
    }
    if (this.#asksCredit) {
      this.#asksCredit = false;
      return { operation: operations.creditRequest, flags: 0 };
    }
    const due = this.#dueShutdown();
    if (this.#waitingBytes === 0 && (due & ~this.#toldShutdown) !== 0) {
      this.#toldShutdown = due;
      return { operation: operations.shutdown, flags: due };
    }
    this.#told = told;
    return undefined;
  }

  /**
   * The guest no longer knows the connection. What it has sent still reaches the host, with an orderly end; nothing of the
   * host reaches the guest. The action is called once the stream is gone too.
   */
  end(onGone: () => void): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#opened?.(false);
    this.#opened = undefined;
    if (stream === undefined || stream.closed) {
      onGone();
      return;
    }
    stream.once("close", onGone);
    // A host that still sends would otherwise keep the stream for ever.
    stream.resume();
    stream.end(() => stream.destroy());
  }

  get #credit(): number {
    const onTheWay = (this.#sent - this.#guestTaken) >>> 0;
    return Math.max(0, this.#guestBufferSize - onTheWay);
  }

  #receiveResponse(): boolean {
    if (this.#state !== "requested" || this.#requests) return false;
    this.#state = "open";
    const opened = this.#opened;
    this.#opened = undefined;
    opened?.(true);
    return true;
  }

  #receiveData(data: Buffer): boolean {
    if (this.#state !== "open" || this.#answers || !this.#guestSends) return false;
    const held = (this.#received - this.#taken) >>> 0;
    if (held + data.length > this.bufferSize) return false;
    this.#received = (this.#received + data.length) >>> 0;
    const take = (): void => this.#take(data.length);
    if (this.#stream?.writable === true) this.#stream.write(data, take);
    else take();
    return true;
  }

  #take(length: number): void {
    this.#taken = (this.#taken + length) >>> 0;
    const known = (this.#told + this.bufferSize - this.#received) >>> 0;
    // Early enough that a guest which sends all the time never has to wait for it.
    if (known < this.bufferSize / 2 && this.#taken !== this.#told) {
      this.#tellsCredit = true;
      this.#announce();
    }
  }

  #receiveShutdown(flags: number): boolean {
    if (this.#state !== "open") return false;
    if ((flags & shutdownFlags.send) !== 0 && this.#guestSends) {
      this.#guestSends = false;
      this.#stream?.end();
    }
    if ((flags & shutdownFlags.receive) !== 0 && this.#guestReceives) {
      this.#guestReceives = false;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#stream?.resume();
    }
    // With both, the guest waits for a reset, which lets it use the port again.
    if (!this.#guestSends && !this.#guestReceives) this.refuse();
    return true;
  }

  #attach(stream: Duplex): void {
    this.#stream = stream;
    // What has failed is closed as well, and that says it.
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      if (this.#stream !== stream || !this.#guestReceives || this.#state !== "open") return;
      this.#waiting.push(chunk);
      this.#waitingBytes += chunk.length;
      if (this.#waitingBytes >= mostWaiting) stream.pause();
      this.#announce();
    });
    stream.on("end", () => {
      this.#hostSends = false;
      this.#announce();
    });
    stream.on("close", () => {
      this.#hostIsGone = true;
      this.#announce();
    });
  }

  #takeWaiting(most: number): Uint8Array {
    const first = this.#waiting[0] ?? Buffer.alloc(0);
    const data = first.subarray(0, most);
    if (data.length === first.length) this.#waiting.shift();
    else this.#waiting[0] = first.subarray(data.length);
    this.#waitingBytes -= data.length;
    this.#sent = (this.#sent + data.length) >>> 0;
    if (this.#waitingBytes < mostWaiting && this.#stream?.isPaused() === true) this.#stream.resume();
    return data;
  }

  /** What the host will no longer do: a stream that is closed neither sends nor receives. */
  #dueShutdown(): number {
    if (this.#hostIsGone) return shutdownFlags.both;
    return this.#hostSends ? 0 : shutdownFlags.send;
  }

  /** A guest need not tell by itself that it can take more. */
  #askCredit(): void {
    if (this.#state !== "open" || this.#waitingBytes === 0 || this.#credit > 0 || this.#hasAskedCredit) return;
    this.#asksCredit = true;
    this.#hasAskedCredit = true;
  }

  #announce(): void {
    if (this.#stream === undefined) return;
    this.#askCredit();
    if (this.hasOutput) this.#owner.becameReady(this);
  }
}
