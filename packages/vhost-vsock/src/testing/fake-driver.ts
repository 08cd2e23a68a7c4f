import { closeSync } from "node:fs";
import {
  connectUnixSocket,
  createEventCounter,
  createSharedMemory,
  DescriptorSocket,
  type DescriptorWatch,
  type MappedMemory,
  mapSharedMemory,
  signalEvent,
  takeEvents,
  watchReadable,
} from "@uvm-shim/linux-calls";
import {
  features,
  numberPayload,
  protocolFeatures,
  requestOf,
  requests,
  ringNumberPayload,
} from "../vhost-user/requests.ts";
import { FakeRing } from "./fake-ring.ts";

const memorySize = 8 << 20;
/** Where the second region begins: buffers for sending lie across this address. */
export const secondRegion = 4 << 20;
/** Where the two regions are for the machine. */
export const userAddresses = [0x7f0000000000, 0x7f1000000000] as const;
const receiveArea = 0x100000;
const receiveLength = 44 + 4096;
const sendArea = secondRegion - (1 << 20);
const sendLength = 44 + 65536;

/** How a driver sets up its rings. */
export interface DriverOptions {
  readonly queueSize?: number;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
}

/**
 * A machine and the driver in its guest, without either: memory, rings and doorbells as the device of a real machine has
 * them, driven by a test.
 */
export class FakeDriver {
  readonly socket: DescriptorSocket;
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly toGuest: FakeRing;
  readonly fromGuest: FakeRing;
  /** Packets of the device, in order. */
  onPacket: (packet: Buffer) => void = () => {};
  readonly #options: Required<DriverOptions>;
  readonly #memoryFile: number;
  readonly #mapping: MappedMemory;
  readonly #kicks: number[] = [];
  readonly #calls: number[] = [];
  readonly #watches: DescriptorWatch[] = [];
  readonly #unsent: Buffer[] = [];
  #holdsBack = false;
  #replies: ((payload: Buffer) => void)[] = [];
  #isOpen = true;

  /** `machine` is where the device listens, or a connection to it. */
  constructor(machine: string | DescriptorSocket, options: DriverOptions = {}) {
    this.#options = { queueSize: 16, eventIndex: false, indirect: false, ...options };
    const { queueSize, eventIndex } = this.#options;
    this.#memoryFile = createSharedMemory("fake guest", memorySize);
    this.#mapping = mapSharedMemory(this.#memoryFile, 0, memorySize);
    this.bytes = Buffer.from(this.#mapping.buffer);
    this.view = new DataView(this.#mapping.buffer);
    this.toGuest = new FakeRing(this.view, 0x1000, queueSize, eventIndex);
    this.fromGuest = new FakeRing(this.view, 0x10000, queueSize, eventIndex);
    this.socket = typeof machine === "string" ? new DescriptorSocket(connectUnixSocket(machine) ?? -1, 1) : machine;
    for (let ring = 0; ring < 2; ring++) {
      this.#kicks.push(createEventCounter());
      const call = createEventCounter();
      this.#calls.push(call);
      this.#watches.push(
        watchReadable(call, () => {
          takeEvents(call);
          this.lookAtRings();
        }),
      );
    }
    this.socket.watch(() => this.#readReplies());
  }

  /** Sends a request of the machine, whether the device likes it or not. */
  tell(request: number, payload: Buffer, descriptors: readonly number[] = []): void {
    this.socket.send(requestOf(request, payload, false), descriptors);
  }

  /** Sends one that has an answer, and resolves to its payload. */
  ask(request: number, payload: Buffer = Buffer.alloc(0), needsReply = false): Promise<Buffer> {
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    this.#replies.push(resolve);
    this.socket.send(requestOf(request, payload, needsReply));
    return promise;
  }

  /** What a machine does when its guest loads the driver. */
  async start(bases: readonly [number, number] = [0, 0]): Promise<void> {
    await this.negotiate();
    this.tellMemory();
    for (const [index, ring] of [this.toGuest, this.fromGuest].entries()) {
      this.tell(requests.setRingSize, ringNumberPayload({ index, value: this.#options.queueSize }));
      this.tell(requests.setRingBase, ringNumberPayload({ index, value: bases[index] ?? 0 }));
      this.tellAddresses(index, ring);
      this.tell(requests.setRingCall, numberPayload(BigInt(index)), [this.#calls[index] ?? -1]);
      this.tell(requests.setRingKick, numberPayload(BigInt(index)), [this.#kicks[index] ?? -1]);
      this.tell(requests.setRingEnable, ringNumberPayload({ index, value: 1 }));
    }
    if (this.toGuest.available === 0) this.offerBuffers();
    await this.ask(requests.getFeatures);
  }

  async negotiate(): Promise<void> {
    const { eventIndex, indirect } = this.#options;
    await this.ask(requests.getFeatures);
    await this.ask(requests.getProtocolFeatures);
    this.tell(requests.setProtocolFeatures, numberPayload(protocolFeatures.config | protocolFeatures.replies));
    this.tell(requests.setOwner, Buffer.alloc(0));
    let agreed: bigint = features.version1 | features.protocolFeatures;
    if (eventIndex) agreed |= features.eventIndex;
    if (indirect) agreed |= features.indirectDescriptors;
    this.tell(requests.setFeatures, numberPayload(agreed));
  }

  tellMemory(): void {
    const table = Buffer.alloc(8 + 2 * 32);
    table.writeUInt32LE(2, 0);
    for (const [region, userAddress] of userAddresses.entries()) {
      const at = 8 + region * 32;
      const start = BigInt(region * secondRegion);
      table.writeBigUInt64LE(start, at);
      table.writeBigUInt64LE(BigInt(secondRegion), at + 8);
      table.writeBigUInt64LE(BigInt(userAddress), at + 16);
      table.writeBigUInt64LE(start, at + 24);
    }
    this.tell(requests.setMemoryTable, table, [this.#memoryFile, this.#memoryFile]);
  }

  tellAddresses(index: number, ring: FakeRing): void {
    const addresses = Buffer.alloc(40);
    addresses.writeUInt32LE(index, 0);
    const { descriptors, used, available } = ring.places;
    for (const [place, address] of [descriptors, used, available].entries()) {
      addresses.writeBigUInt64LE(BigInt(userAddresses[0] + address), 8 + place * 8);
    }
    this.tell(requests.setRingAddresses, addresses);
  }

  /** Ends the device's queues as a paused or reset machine does, and resolves to where they ended. */
  async stop(): Promise<[number, number]> {
    const bases: number[] = [];
    for (let index = 0; index < 2; index++) {
      const answer = await this.ask(requests.getRingBase, ringNumberPayload({ index, value: 0 }));
      bases.push(answer.readUInt32LE(4));
    }
    return bases as [number, number];
  }

  /** Empties the rings, as a driver does that starts again. */
  reset(): void {
    this.toGuest.reset();
    this.fromGuest.reset();
    this.#unsent.length = 0;
  }

  offerBuffers(): void {
    for (let slot = 0; slot < this.#options.queueSize; slot++) this.#offerBuffer(slot);
    this.kick(0);
  }

  /** While it does, what the device has for the guest waits in the device. */
  holdBack(holds: boolean): void {
    this.#holdsBack = holds;
    if (!holds) this.lookAtRings();
  }

  /** Sends a packet as soon as the ring has a place. */
  send(packet: Buffer): void {
    this.#unsent.push(packet);
    this.#flush();
  }

  kick(ring: 0 | 1): void {
    signalEvent(this.#kicks[ring] ?? -1);
  }

  lookAtRings(): void {
    if (!this.#isOpen) return;
    this.fromGuest.takeUsed(() => {});
    this.#flush();
    if (this.#holdsBack) return;
    let hasOffered = false;
    this.toGuest.takeUsed((slot, length) => {
      const start = receiveArea + slot * receiveLength;
      const packet = Buffer.from(this.bytes.subarray(start, start + length));
      this.#offerBuffer(slot);
      hasOffered = true;
      this.onPacket(packet);
    });
    if (hasOffered && this.toGuest.wantsKick()) this.kick(0);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.socket.close();
    for (const watch of this.#watches) watch.close();
    for (const descriptor of [this.#memoryFile, ...this.#kicks, ...this.#calls]) closeSync(descriptor);
    this.#mapping.unmap();
  }

  #offerBuffer(slot: number): void {
    this.toGuest.describe(slot, {
      address: receiveArea + slot * receiveLength,
      length: receiveLength,
      isWritable: true,
    });
    this.toGuest.offer(slot);
  }

  #flush(): void {
    let hasOffered = false;
    for (let packet = this.#unsent[0]; packet !== undefined; packet = this.#unsent[0]) {
      const slot = this.fromGuest.freeSlot();
      if (slot === undefined) break;
      this.#unsent.shift();
      const start = sendArea + slot * sendLength;
      packet.copy(this.bytes, start);
      this.#describePacket(slot, start, packet.length);
      this.fromGuest.offer(slot);
      hasOffered = true;
    }
    if (hasOffered && this.fromGuest.wantsKick()) this.kick(1);
  }

  #describePacket(slot: number, address: number, length: number): void {
    if (this.#options.indirect) this.fromGuest.describeTable(slot, address, [44, length - 44].filter(Boolean));
    else this.fromGuest.describe(slot, { address, length, isWritable: false });
  }

  #readReplies(): void {
    for (;;) {
      const header = Buffer.alloc(12);
      const arrived = this.socket.receive(header);
      if (arrived === undefined) return;
      if (arrived.length === 0) {
        this.socket.watch(() => {});
        this.socket.close();
        return;
      }
      const payload = Buffer.alloc(header.readUInt32LE(8));
      if (payload.length > 0) this.socket.receive(payload);
      this.#replies.shift()?.(payload);
    }
  }
}
