import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { describeError } from "../../errors.ts";
import type { Log } from "../../platform.ts";

/** One event on its way; `event` is the encoded message of that type. */
export interface EventEnvelope {
  readonly timestamp: Date;
  readonly topic: string;
  readonly typeUrl: string;
  readonly event: Uint8Array;
}

/** What is made of an event that waits while too many do. */
export interface PublishOptions {
  /** It is never dropped: whoever publishes it bounds how many there can be. */
  readonly isKept?: boolean;
}

interface Queued extends EventEnvelope {
  readonly isKept: boolean;
  readonly left: () => void;
}

/** A connection to containerd's event service. */
export interface EventSink {
  /** Resolves when the event is acknowledged. */
  forward(envelope: EventEnvelope, timeoutMilliseconds: number): Promise<void>;
  close(): void;
}

export interface EventForwarderOptions {
  readonly connect: () => Promise<EventSink>;
  readonly clock: Clock;
  readonly log: Log;
  readonly mostQueued?: number;
}

const forwardMilliseconds = 5000;
const firstBackoffMilliseconds = 50;
const longestBackoffMilliseconds = 5000;

/** Refusals that repeating cannot change. Everything else is tried again until it is acknowledged. */
const finalCodes: ReadonlySet<unknown> = new Set([
  "InvalidArgument",
  "Unimplemented",
  "PermissionDenied",
  "OutOfRange",
]);

/**
 * One queue of events in the order in which they happened. The first stays first until containerd has acknowledged it,
 * over as many connections as that takes. The queue is bounded: a containerd that stays away costs the oldest events but
 * those that are kept, never the shim's memory; Wait and State remain right.
 */
export class EventForwarder {
  readonly #options: EventForwarderOptions;
  readonly #mostQueued: number;
  readonly #queue: Queued[] = [];
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #sink: EventSink | undefined;

  constructor(options: EventForwarderOptions) {
    this.#options = options;
    this.#mostQueued = options.mostQueued ?? 4096;
  }

  /** Resolves when nothing is to be done about the event any more: it is acknowledged, refused or dropped. */
  publish(topic: string, typeUrl: string, event: Uint8Array, { isKept = false }: PublishOptions = {}): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    const { promise, resolve: left } = Promise.withResolvers<void>();
    this.#queue.push({ timestamp: this.#options.clock.now(), topic, typeUrl, event, isKept, left });
    if (this.#queue.length > this.#mostQueued) this.#dropOldest();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return promise;
  }

  /** The first of the queue may be under way; one behind it is the oldest that can still be dropped. */
  #dropOldest(): void {
    const index = this.#queue.findIndex(({ isKept }, position) => position > 0 && !isKept);
    if (index === -1) return;
    const [dropped] = this.#queue.splice(index, 1);
    dropped?.left();
    this.#options.log.log("error", "event dropped: too many wait for containerd", { topic: dropped?.topic });
  }

  /** Waits until all is acknowledged or the time is over, and closes. */
  async close(milliseconds: number): Promise<void> {
    if (this.#running !== undefined) await settlesWithin(this.#running, milliseconds, this.#options.clock);
    this.#stop.abort();
    this.#disconnect();
  }

  async #run(): Promise<void> {
    let backoff = firstBackoffMilliseconds;
    while (this.#queue[0] !== undefined && !this.#stop.signal.aborted) {
      const envelope = this.#queue[0];
      try {
        this.#sink ??= await this.#options.connect();
        await this.#sink.forward(envelope, forwardMilliseconds);
        this.#queue.shift()?.left();
        backoff = firstBackoffMilliseconds;
      } catch (error) {
        if (finalCodes.has((error as { code?: unknown } | null)?.code)) {
          this.#queue.shift()?.left();
          this.#options.log.log("error", "event refused by containerd", {
            topic: envelope.topic,
            error: describeError(error),
          });
          continue;
        }
        this.#options.log.log("warn", "event not forwarded yet", {
          topic: envelope.topic,
          error: describeError(error),
          backoff,
        });
        this.#disconnect();
        await this.#options.clock.delay(backoff, this.#stop.signal).catch(() => {});
        backoff = Math.min(backoff * 2, longestBackoffMilliseconds);
      }
    }
  }

  #disconnect(): void {
    this.#sink?.close();
    this.#sink = undefined;
  }
}
