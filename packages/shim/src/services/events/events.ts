import { type Clock, reportOccurrence, settlesWithin } from "@uvm-shim/lifecycle";
import { describeError } from "../../errors.ts";
import type { Log } from "../../platform.ts";

/** An event as containerd takes it. */
export interface EventEnvelope {
  readonly timestamp: Date;
  readonly topic: string;
  readonly typeUrl: string;
  /** The encoded message of that type. */
  readonly event: Uint8Array;
}

/** How an event is queued. */
export interface PublishOptions {
  /** Never dropped when the queue is full: the publisher bounds the number of such events. */
  readonly isKept?: boolean;
}

interface Queued extends EventEnvelope {
  readonly isKept: boolean;
  readonly left: () => void;
}

/** A connection to containerd's event service. */
export interface EventSink {
  /** Resolves once containerd has acknowledged the event. */
  forward(envelope: EventEnvelope, timeoutMilliseconds: number): Promise<void>;
  close(): void;
}

/** What forwards events to containerd. */
export interface EventForwarderOptions {
  readonly connect: () => Promise<EventSink>;
  readonly clock: Clock;
  readonly log: Log;
  readonly mostQueued?: number;
}

const forwardMilliseconds = 5000;
const firstBackoffMilliseconds = 50;
const longestBackoffMilliseconds = 5000;

/** Codes that a retry cannot change; after any other error the event is sent again. */
const finalCodes: ReadonlySet<unknown> = new Set([
  "InvalidArgument",
  "Unimplemented",
  "PermissionDenied",
  "OutOfRange",
]);

/**
 * A queue of events in the order in which they happened. The first stays in the queue until containerd has acknowledged
 * it, over as many connections as that takes. The queue is bounded: while containerd is away the oldest events are
 * dropped, except those marked as kept. Wait and State stay correct.
 */
export class EventForwarder {
  readonly #options: EventForwarderOptions;
  readonly #mostQueued: number;
  readonly #queue: Queued[] = [];
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #sink: EventSink | undefined;
  #dropped = 0;
  #lastError: { readonly message: string; readonly at: string } | undefined;

  constructor(options: EventForwarderOptions) {
    this.#options = options;
    this.#mostQueued = options.mostQueued ?? 4096;
  }

  get queued(): { readonly events: number; readonly bytes: number } {
    return { events: this.#queue.length, bytes: this.#queue.reduce((bytes, { event }) => bytes + event.length, 0) };
  }

  /** Resolves when the event leaves the queue: acknowledged, refused or dropped. */
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

  /** Skips the first event, which may be on its way to containerd. */
  #dropOldest(): void {
    const index = this.#queue.findIndex(({ isKept }, position) => position > 0 && !isKept);
    if (index === -1) return;
    const [dropped] = this.#queue.splice(index, 1);
    dropped?.left();
    reportOccurrence("event dropped", { topic: dropped?.topic ?? "" });
    this.#dropped += 1;
    this.#options.log.log("error", "event dropped: the queue for containerd is full", { topic: dropped?.topic });
  }

  describe(): {
    readonly queued: number;
    readonly dropped: number;
    readonly lastError?: { readonly message: string; readonly at: string };
  } {
    const lastError = this.#lastError;
    return { queued: this.#queue.length, dropped: this.#dropped, ...(lastError && { lastError }) };
  }

  /** Waits until the queue is empty or the time is over, then disconnects. */
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
        if (backoff > firstBackoffMilliseconds) reportOccurrence("events delivered again");
        backoff = firstBackoffMilliseconds;
      } catch (error) {
        this.#lastError = { message: describeError(error), at: this.#options.clock.now().toISOString() };
        if (finalCodes.has((error as { code?: unknown } | null)?.code)) {
          this.#queue.shift()?.left();
          reportOccurrence("event refused", { topic: envelope.topic, error: describeError(error) });
          this.#options.log.log("error", "event refused by containerd", {
            topic: envelope.topic,
            error: describeError(error),
          });
          continue;
        }
        if (backoff === firstBackoffMilliseconds) {
          reportOccurrence("events delayed", { topic: envelope.topic, error: describeError(error) });
        }
        this.#options.log.log("warn", "cannot forward event, retrying", {
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
