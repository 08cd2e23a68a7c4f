import type { Duplex } from "node:stream";
import { Connection, type ConnectionOptions, type Method } from "./connection.ts";
import { protocolMaxMessageSize } from "./frame.ts";
import { Load } from "./load.ts";
import type { CallContext, Interceptor, ServiceImplementation } from "./service.ts";
import type { Turn } from "./turns.ts";

/** The services of a server, and its bounds; each bound has a default. */
export interface TtrpcServerOptions {
  readonly services: readonly ServiceImplementation[];
  /** Largest payload of a frame in bytes, either way; default: the protocol's 4 MiB. */
  readonly maxMessageSize?: number;
  /** Calls that one connection may have in flight; more are refused with ResourceExhausted. Default 16384. */
  readonly maxCallsInFlight?: number;
  /** Calls that all connections together may have in flight; more are refused with ResourceExhausted. Default 65536. */
  readonly maxServerCalls?: number;
  /**
   * How many bytes of requests under way and of responses that callers leave unread may wait on all connections together;
   * default 256 MiB. Beyond that requests are refused with ResourceExhausted, and the caller that leaves most unread loses
   * its connection.
   */
  readonly maxWaitingBytes?: number;
  /** This server's share of a thread that several servers have; absent if it need not share. */
  readonly turn?: Turn;
  /** How long in milliseconds a handler may leave its stream unread before it loses it; default 1000. */
  readonly stallMs?: number;
  /**
   * How long in milliseconds a closing server waits, after its last response, for the caller to end the connection;
   * default 0. The Go client, which containerd uses, fails a call whose response it has received but not processed when
   * the connection ends.
   */
  readonly hangUpMs?: number;
  /** Called for failed connections, and for handlers' errors with the code Internal or none. Must not throw. */
  readonly onError?: (error: unknown, context?: CallContext) => void;
  readonly interceptor?: Interceptor;
}

/** Serves the same services on any number of connections. */
export class TtrpcServer {
  readonly #options: ConnectionOptions;
  readonly #connections = new Set<Connection>();
  #closing = false;

  /** Throws a TypeError when two implementations have the same service name. */
  constructor(options: TtrpcServerOptions) {
    const services = new Map<string, ReadonlyMap<string, Method>>();
    for (const { service, handlers } of options.services) {
      if (services.has(service.name)) throw new TypeError(`The service ${service.name} is implemented twice.`);
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
      load: new Load({
        mostCalls: options.maxServerCalls ?? 65_536,
        mostBytes: options.maxWaitingBytes ?? 256 << 20,
      }),
      turn: options.turn,
    };
  }

  /**
   * Takes ownership of the stream and serves calls on it until it ends; a closing server ends it at once. One that is
   * `unlimited` is served whatever the others have under way: the program's own.
   */
  serve(stream: Duplex, { unlimited = false }: { readonly unlimited?: boolean } = {}): Connection {
    const bounds = unlimited ? { load: undefined, turn: undefined } : {};
    const connection = new Connection(stream, { ...this.#options, ...bounds });
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    if (this.#closing) void connection.close();
    return connection;
  }

  /**
   * Refuses new calls with Unavailable, lets those in flight finish, and ends every connection once its responses are
   * written and its caller has had time to hang up. The signal destroys the remaining connections. Idempotent.
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
