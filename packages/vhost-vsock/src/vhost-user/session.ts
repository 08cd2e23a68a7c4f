import { closeSync } from "node:fs";
import { becomesEventCounter, type DescriptorSocket, mapSharedMemory } from "@uvm-shim/linux-calls";
import { VsockDeviceError } from "../device-error.ts";
import { GuestMemory, type MemoryRegion } from "../memory/guest-memory.ts";
import type { QueueFeatures } from "../virtqueue/split-queue.ts";
import { MessageReader } from "./message-reader.ts";
import {
  disconnectedError,
  features,
  mostRegions,
  numberPayload,
  protocolError,
  protocolFeatures,
  type Request,
  readConfigRange,
  readMemoryTable,
  readNumber,
  readRingAddresses,
  readRingDescriptor,
  readRingNumber,
  replyTo,
  requests,
  ringNumberPayload,
} from "./requests.ts";
import { Ring } from "./ring.ts";

const offered = features.indirectDescriptors | features.eventIndex | features.protocolFeatures | features.version1;
const offeredProtocol = protocolFeatures.queueCount | protocolFeatures.replies | protocolFeatures.config;
/** Messages in one turn of the event loop; a machine sends some dozens while its guest starts. */
const messagesPerTurn = 64;
const pageSize = 4096;

/** What a device does with its queues. */
export interface QueueUser {
  /** A queue was kicked, or is another one now. */
  queuesChanged(): void;
  /** The guest has started its driver again, and knows nothing of what was before. */
  driverRestarted(): void;
}

/** The machine's end of the device: what it tells and asks by vhost-user, and the queues that come of it. */
export class VhostUserSession {
  readonly rings: readonly Ring[];
  readonly #socket: DescriptorSocket;
  readonly #reader: MessageReader;
  readonly #config: Buffer;
  readonly #user: QueueUser;
  #features = 0n;
  #protocolFeatures = 0n;
  #memory: GuestMemory | undefined;
  #isOpen = true;

  /** It owns the socket. `config` is the device's configuration space. */
  constructor(socket: DescriptorSocket, queues: number, config: Buffer, user: QueueUser) {
    this.#socket = socket;
    this.#reader = new MessageReader(socket, mostRegions);
    this.#config = config;
    this.#user = user;
    this.rings = Array.from({ length: queues }, () => new Ring(() => user.queuesChanged()));
  }

  /** The file descriptors that come with one message. */
  static readonly mostDescriptors = mostRegions;

  /** Handles what has come. What a machine must not send throws. */
  handleMessages(): void {
    for (let handled = 0; handled < messagesPerTurn && this.#isOpen; handled++) {
      const message = this.#reader.next();
      if (message === undefined) return;
      if (message === "end") throw disconnectedError();
      this.#handle(message);
    }
  }

  /** Repeatable. */
  close(hasFailed: boolean): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const ring of this.rings) {
      if (hasFailed) ring.signalError();
      ring.close();
    }
    this.#reader.close();
    this.#socket.close();
    this.#memory?.unmap();
  }

  #handle(message: Request): void {
    try {
      const reply = this.#answer(message);
      const wantsOne = message.needsReply && (this.#protocolFeatures & protocolFeatures.replies) !== 0n;
      if (reply !== undefined) this.#reply(message, reply);
      else if (wantsOne) this.#reply(message, numberPayload(0n));
    } finally {
      for (const descriptor of message.descriptors) closeSync(descriptor);
    }
  }

  #reply({ request }: Request, payload: Buffer): void {
    try {
      this.#socket.send(replyTo(request, payload));
    } catch (error) {
      throw disconnectedError(error as Error);
    }
  }

  /** The payload of the answer, undefined if the request has none. It takes the descriptors that it keeps. */
  #answer(message: Request): Buffer | undefined {
    const { request, payload } = message;
    switch (request) {
      case requests.getFeatures:
        return numberPayload(offered);
      case requests.setFeatures:
        this.#features = agreed(readNumber(payload), offered);
        return this.#renewAll();
      case requests.getProtocolFeatures:
        return numberPayload(offeredProtocol);
      case requests.setProtocolFeatures:
        this.#protocolFeatures = agreed(readNumber(payload), offeredProtocol);
        return undefined;
      case requests.getQueueCount:
        return numberPayload(BigInt(this.rings.length));
      case requests.setOwner:
        return undefined;
      case requests.resetOwner:
        for (const ring of this.rings) ring.setEnabled(false);
        return this.#renewAll();
      case requests.setMemoryTable:
        return this.#setMemory(message);
      case requests.getConfig:
        return this.#configPart(payload);
      case requests.setConfig:
        throw protocolError("a change of the configuration, which has nothing to change");
      default:
        return this.#answerForRing(message);
    }
  }

  #answerForRing(message: Request): Buffer | undefined {
    const { request, payload } = message;
    switch (request) {
      case requests.setRingSize: {
        const { index, value } = readRingNumber(payload);
        return this.#change(index, (ring) => ring.setSize(value));
      }
      case requests.setRingBase: {
        const { index, value } = readRingNumber(payload);
        return this.#change(index, (ring) => {
          ring.setBase(value);
          if (ring.takeNewDriver()) this.#user.driverRestarted();
        });
      }
      case requests.setRingEnable: {
        const { index, value } = readRingNumber(payload);
        return this.#change(index, (ring) => ring.setEnabled(value !== 0));
      }
      case requests.setRingAddresses: {
        const { index, addresses } = readRingAddresses(payload);
        return this.#change(index, (ring) => ring.setAddresses(addresses));
      }
      case requests.getRingBase: {
        const { index } = readRingNumber(payload);
        return ringNumberPayload({ index, value: this.#ring(index).stop() });
      }
      case requests.setRingKick:
        return this.#setDescriptor(message, (ring, descriptor) => {
          if (descriptor === undefined) throw protocolError("a ring without kicks, which would have to be polled");
          ring.setKick(descriptor);
          // Without the feature there is no request that enables rings.
          if ((this.#features & features.protocolFeatures) === 0n) ring.setEnabled(true);
        });
      case requests.setRingCall:
        return this.#setDescriptor(message, (ring, descriptor) => ring.setCall(descriptor));
      case requests.setRingError:
        return this.#setDescriptor(message, (ring, descriptor) => ring.setError(descriptor));
      default:
        throw protocolError(`request ${request}, which this device has not offered`);
    }
  }

  #setDescriptor(message: Request, set: (ring: Ring, descriptor: number | undefined) => void): undefined {
    const { index, hasDescriptor } = readRingDescriptor(message.payload);
    const ring = this.#ring(index);
    if (message.descriptors.length !== (hasDescriptor ? 1 : 0)) {
      throw protocolError(`${message.descriptors.length} file descriptors, expected ${hasDescriptor ? 1 : 0}`);
    }
    const [descriptor] = message.descriptors;
    if (descriptor !== undefined && !becomesEventCounter(descriptor)) throw protocolError("no eventfd for a ring");
    message.descriptors.length = 0;
    return this.#change(index, () => set(ring, descriptor));
  }

  #setMemory({ payload, descriptors }: Request): undefined {
    const table = readMemoryTable(payload);
    if (descriptors.length !== table.length) {
      throw protocolError(`${descriptors.length} file descriptors for ${table.length} memory regions`);
    }
    const mapped: MemoryRegion[] = [];
    try {
      for (const [place, { offset, ...region }] of table.entries()) {
        if (offset % pageSize !== 0) throw protocolError(`memory at offset ${offset} of its file`);
        mapped.push({ ...region, mapping: mapSharedMemory(descriptors[place] ?? -1, offset, region.size) });
      }
    } catch (error) {
      for (const { mapping } of mapped) mapping.unmap();
      if (error instanceof VsockDeviceError) throw error;
      throw new VsockDeviceError("memory", `the guest's memory cannot be mapped: ${(error as Error).message}`, {
        cause: error,
      });
    }
    const before = this.#memory;
    this.#memory = new GuestMemory(mapped);
    try {
      return this.#renewAll();
    } finally {
      before?.unmap();
    }
  }

  #configPart(payload: Buffer): Buffer {
    const { offset, size, head } = readConfigRange(payload);
    if (offset + size > this.#config.length) {
      throw protocolError(`configuration ${offset}+${size}, expected within ${this.#config.length} bytes`);
    }
    return Buffer.concat([head, this.#config.subarray(offset, offset + size)]);
  }

  #change(index: number, change: (ring: Ring) => void): undefined {
    const ring = this.#ring(index);
    change(ring);
    ring.renew(this.#memory, this.#queueFeatures());
    this.#user.queuesChanged();
    return undefined;
  }

  #renewAll(): undefined {
    for (const ring of this.rings) ring.renew(this.#memory, this.#queueFeatures());
    this.#user.queuesChanged();
    return undefined;
  }

  #queueFeatures(): QueueFeatures {
    return {
      indirect: (this.#features & features.indirectDescriptors) !== 0n,
      eventIndex: (this.#features & features.eventIndex) !== 0n,
    };
  }

  #ring(index: number): Ring {
    const ring = this.rings[index];
    if (ring === undefined) throw protocolError(`ring ${index}, expected one below ${this.rings.length}`);
    return ring;
  }
}

function agreed(wanted: bigint, offer: bigint): bigint {
  if ((wanted & ~offer) !== 0n) throw protocolError(`features 0x${(wanted & ~offer).toString(16)} were not offered`);
  return wanted;
}
