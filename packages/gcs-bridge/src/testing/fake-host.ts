import { type Duplex, duplexPair } from "node:stream";
import type { GuestHandlers, GuestOptions, Procedure, RequestBody, StdioListener } from "../index.ts";

/** A request as it has arrived at a fake guest. */
export interface SeenRequest {
  readonly procedure: Procedure;
  readonly containerId: string;
  readonly body: unknown;
}

/** A port of the host, whose connections wait until they are accepted. */
class FakePort implements StdioListener {
  readonly #onClose: () => void;
  readonly #dialled: Duplex[] = [];
  readonly #waiting: { resolve: (stream: Duplex) => void; reject: (error: unknown) => void }[] = [];

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  accept(signal?: AbortSignal): Promise<Duplex> {
    const stream = this.#dialled.shift();
    if (stream !== undefined) return Promise.resolve(stream);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  async close(): Promise<void> {
    this.#onClose();
    for (const { reject } of this.#waiting) reject(new Error("the listener is closed"));
  }

  dial(connections: Duplex[]): Duplex {
    const [host, guest] = duplexPair();
    connections.push(host);
    const next = this.#waiting.shift();
    if (next === undefined) this.#dialled.push(host);
    else next.resolve(host);
    return guest;
  }
}

/** What a guest's operations require of their surroundings, and what a fake guest has been asked. */
export class FakeHost {
  readonly seen: SeenRequest[] = [];
  readonly logged: string[] = [];
  readonly loggedFields: unknown[] = [];
  readonly ports = new Map<number, FakePort>();
  /** The host's ends of the connections that the guest dialled. */
  readonly connections: Duplex[] = [];
  readonly options: GuestOptions;
  readonly #delays = new Set<{ readonly milliseconds: number; readonly resolve: () => void }>();

  constructor() {
    this.options = {
      newActivityId: () => "11111111-2222-3333-4444-555555555555",
      listen: async (port) => this.#listen(port),
      log: {
        log: (_level, message, fields) => {
          this.logged.push(message);
          this.loggedFields.push(fields);
        },
      },
      delay: (milliseconds, signal) =>
        new Promise((resolve, reject) => {
          const delay = { milliseconds, resolve };
          this.#delays.add(delay);
          signal?.addEventListener(
            "abort",
            () => {
              this.#delays.delete(delay);
              reject(signal.reason);
            },
            { once: true },
          );
        }),
    };
  }

  /** The host's pending delays, in milliseconds. */
  get delays(): readonly number[] {
    return [...this.#delays].map(({ milliseconds }) => milliseconds);
  }

  /** Ends the host's pending delays, or those up to `atMost` milliseconds. */
  expire(atMost = Number.POSITIVE_INFINITY): void {
    for (const delay of this.#delays) {
      if (delay.milliseconds > atMost) continue;
      this.#delays.delete(delay);
      delay.resolve();
    }
  }

  /** Dials a port of the host; throws if nothing listens. */
  dial(port: number | undefined): Duplex {
    const listener = port === undefined ? undefined : this.ports.get(port);
    if (listener === undefined) throw new Error(`nothing listens on port ${port}`);
    return listener.dial(this.connections);
  }

  bodies<P extends Procedure>(procedure: P): RequestBody<P>[] {
    return this.seen
      .filter((request) => request.procedure === procedure)
      .map((request) => request.body as RequestBody<P>);
  }

  #listen(port: number): StdioListener {
    if (this.ports.has(port)) throw new Error(`port ${port} is in use`);
    const listener = new FakePort(() => this.ports.delete(port));
    this.ports.set(port, listener);
    return listener;
  }

  /** Handlers that note each request first. */
  protected recorded(handlers: GuestHandlers): GuestHandlers {
    return Object.fromEntries(
      Object.entries(handlers).map(([procedure, handler]) => [
        procedure,
        (body: never, context: never) => {
          this.seen.push({
            procedure: procedure as Procedure,
            containerId: (context as { containerId: string }).containerId,
            body,
          });
          return handler(body, context);
        },
      ]),
    );
  }
}

/** Runs everything that does not wait for external events. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
