import type { Duplex } from "node:stream";
import { Connection, type ConnectionOptions, type Method } from "./connection.ts";
import { protocolMaxMessageSize } from "./frame.ts";
import type { CallContext, ServiceImplementation } from "./service.ts";

export interface TtrpcServerOptions {
  readonly services: readonly ServiceImplementation[];
  /** Largest payload of a frame in bytes, either way; the protocol's 4 MiB unless told. */
  readonly maxMessageSize?: number;
  /** Calls that one connection may have in flight; more are refused with ResourceExhausted. 16384 unless told. */
  readonly maxCallsInFlight?: number;
  /** How long in milliseconds a handler may leave its stream unread before it loses it; 1000 unless told. */
  readonly stallMs?: number;
  /**
   * How long in milliseconds after its last answer a connection is left to the caller to end, when the server closes;
   * 0 unless told. Go's client, which is containerd's, gives up a call whose answer it has received and not yet taken
   * when the connection ends.
   */
  readonly hangUpMs?: number;
  /** Told of connections that ended badly, and of handlers' errors whose code is Internal or none. Must not throw. */
  readonly onError?: (error: unknown, context?: CallContext) => void;
  /** Wraps every call; what it throws is what the caller is told. */
  readonly interceptor?: <T>(context: CallContext, next: () => Promise<T>) => Promise<T>;
}

/** Serves its services on the connections that it is given. */
export class TtrpcServer {
  readonly #options: ConnectionOptions;
  readonly #connections = new Set<Connection>();
  #closing = false;

  /** Throws a TypeError when two implementations have the same service name. */
  constructor(options: TtrpcServerOptions) {
    const services = new Map<string, ReadonlyMap<string, Method>>();
    for (const { service, handlers } of options.services) {
      if (services.has(service.name)) throw new TypeError(`The service ${service.name} is given twice.`);
      const methods = Object.entries(service.methods).map(
        ([name, definition]) => [name, { definition, handler: handlers.get(name) }] as const,
      );
      services.set(service.name, new Map(methods));
    }
    this.#options = {
      services,
      maxMessageSize: options.maxMessageSize ?? protocolMaxMessageSize,
      maxCallsInFlight: options.maxCallsInFlight ?? 16_384,
      stallMs: options.stallMs ?? 1000,
      hangUpMs: options.hangUpMs ?? 0,
      onError: options.onError ?? (() => {}),
      interceptor: options.interceptor ?? ((_context, next) => next()),
    };
  }

  /** Takes over the stream and answers calls on it until it ends; on a server that closes, it ends at once. */
  serve(stream: Duplex): Connection {
    const connection = new Connection(stream, this.#options);
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    if (this.#closing) void connection.close();
    return connection;
  }

  /**
   * Refuses new calls with Unavailable, lets those in flight finish, and ends every connection once its answers are
   * written, and its caller has had the time to hang up. The signal cuts that short: it destroys what is left. Repeating it is harmless.
   */
  async close(signal?: AbortSignal): Promise<void> {
    this.#closing = true;
    const destroyAll = () => this.destroy();
    if (signal?.aborted === true) destroyAll();
    signal?.addEventListener("abort", destroyAll, { once: true });
    await Promise.all([...this.#connections].map((connection) => connection.close()));
    signal?.removeEventListener("abort", destroyAll);
  }

  /** Ends every connection at once; the signals of the calls in flight abort. */
  destroy(): void {
    this.#closing = true;
    for (const connection of this.#connections) connection.destroy();
  }
}
