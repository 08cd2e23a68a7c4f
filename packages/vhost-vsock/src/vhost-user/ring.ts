import { closeSync } from "node:fs";
import { type DescriptorWatch, signalEvent, takeEvents, watchReadable } from "@uvm-shim/linux-calls";
import type { GuestMemory } from "../memory/guest-memory.ts";
import { type QueueFeatures, type RingAddresses, SplitQueue } from "../virtqueue/split-queue.ts";
import { protocolError } from "./requests.ts";

/** The machine's vsock queues have 128 entries. */
const largestQueue = 1024;

/**
 * A virtqueue as the machine describes it, piece by piece and in any order. There is a queue while all of it is known, the
 * machine has sent the doorbell, and it is enabled.
 */
export class Ring {
  readonly #onKick: () => void;
  #size: number | undefined;
  #addresses: RingAddresses | undefined;
  #base = 0;
  #isEnabled = false;
  #kick: number | undefined;
  #call: number | undefined;
  #error: number | undefined;
  #watch: DescriptorWatch | undefined;
  #queue: SplitQueue | undefined;
  /** Where the last queue ended, if the machine asked: the same driver goes on there. */
  #left: number | undefined;
  #hasNewDriver = false;

  constructor(onKick: () => void) {
    this.#onKick = onKick;
  }

  get queue(): SplitQueue | undefined {
    return this.#queue;
  }

  setSize(size: number): void {
    if (size === 0 || size > largestQueue || (size & (size - 1)) !== 0) {
      throw protocolError(`a ring of ${size} entries, expected a power of 2 up to ${largestQueue}`);
    }
    this.#size = size;
  }

  setAddresses(addresses: RingAddresses): void {
    this.#addresses = addresses;
  }

  setBase(base: number): void {
    if (base > 0xffff) throw protocolError(`ring base ${base}, expected at most 65535`);
    if (this.#left !== undefined && base !== this.#left) this.#hasNewDriver = true;
    this.#left = undefined;
    this.#queue = undefined;
    this.#base = base;
  }

  /** True once if the ring begins where the one before did not end: the guest has started its driver again. */
  takeNewDriver(): boolean {
    const has = this.#hasNewDriver;
    this.#hasNewDriver = false;
    return has;
  }

  setEnabled(isEnabled: boolean): void {
    this.#isEnabled = isEnabled;
  }

  /** Owns the descriptor. */
  setKick(descriptor: number | undefined): void {
    this.#dropKick();
    if (descriptor === undefined) return;
    this.#kick = descriptor;
    this.#watch = watchReadable(descriptor, () => {
      takeEvents(descriptor);
      this.#onKick();
    });
  }

  /** Owns the descriptor. */
  setCall(descriptor: number | undefined): void {
    if (this.#call !== undefined) closeSync(this.#call);
    this.#call = descriptor;
    // What was given back before may have interrupted nobody.
    if (this.#queue !== undefined) this.interrupt();
  }

  /** Owns the descriptor. */
  setError(descriptor: number | undefined): void {
    if (this.#error !== undefined) closeSync(this.#error);
    this.#error = descriptor;
  }

  /** Makes the queue anew, or ends it, after any of its pieces has changed. */
  renew(memory: GuestMemory | undefined, features: QueueFeatures): void {
    if (this.#queue !== undefined) this.#base = this.#queue.base;
    this.#queue = undefined;
    const isReady = this.#isEnabled && this.#kick !== undefined;
    if (!isReady || memory === undefined || this.#size === undefined || this.#addresses === undefined) return;
    this.#queue = new SplitQueue(memory, this.#size, this.#addresses, features, this.#base);
  }

  /** Ends the queue and returns where it stopped. */
  stop(): number {
    if (this.#queue !== undefined) this.#base = this.#queue.base;
    this.#queue = undefined;
    this.#dropKick();
    this.#left = this.#base;
    return this.#base;
  }

  /** Interrupts the driver. */
  interrupt(): void {
    if (this.#call !== undefined) signalEvent(this.#call);
  }

  /** Tells the machine that the device no longer serves the queue. */
  signalError(): void {
    if (this.#error !== undefined) signalEvent(this.#error);
  }

  close(): void {
    this.#queue = undefined;
    this.#dropKick();
    this.setCall(undefined);
    this.setError(undefined);
  }

  #dropKick(): void {
    this.#watch?.close();
    this.#watch = undefined;
    if (this.#kick !== undefined) closeSync(this.#kick);
    this.#kick = undefined;
  }
}
