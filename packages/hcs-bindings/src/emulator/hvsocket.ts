import { existsSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { checkGuid, highestVsockPort } from "@uvm-shim/hcs-schema";
import { abortedError, HostError } from "../host-error.ts";
import type { HvsocketListener, HvsocketService } from "../types.ts";

/** Connections that the guest may have open before somebody accepts them. */
const backlog = 128;
const longestReplyBytes = 32;

interface Waiter {
  readonly resolve: (stream: Duplex) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The port of a service. The GUIDs that stand for vsock ports begin with the port; on the emulated host the first 32
 * bits of any service's GUID are its port, since the hybrid vsock convention has nothing else.
 */
export function portOf(systemId: string, service: HvsocketService): number {
  if (typeof service === "number") return service;
  try {
    return Number.parseInt(checkGuid(service).slice(0, 8), 16);
  } catch (cause) {
    const id = `${systemId} service ${service}`;
    throw new HostError("InvalidArgument", "expected a GUID", { operation: "listen on hvsocket", id, cause });
  }
}

/** Listens for the guest on a port: in the hybrid vsock convention, on the Unix socket `<base>_<port>`. */
export async function listenForGuest(systemId: string, vsockBase: string, port: number): Promise<HvsocketListener> {
  checkPort("listen on hvsocket", systemId, port);
  const path = `${vsockBase}_${port}`;
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
    server.listen({ path, backlog });
  }).catch((error: unknown) => {
    // For a missing directory libuv reports EACCES.
    const gone = !existsSync(dirname(path));
    const code = gone ? "NotFound" : errnoOf(error) === "EADDRINUSE" ? "AlreadyExists" : "Internal";
    throw socketError(code, "listen on hvsocket", systemId, port, error);
  });
  return new UnixListener(server, systemId, port);
}

class UnixListener implements HvsocketListener {
  readonly port: number;
  readonly #server: Server;
  readonly #systemId: string;
  readonly #arrived: Socket[] = [];
  readonly #waiters = new Set<Waiter>();
  #closed: Promise<void> | undefined;

  constructor(server: Server, systemId: string, port: number) {
    this.#server = server;
    this.#systemId = systemId;
    this.port = port;
    server.on("error", () => void this.close());
    server.on("connection", (socket) => this.#arrive(socket));
  }

  accept(signal?: AbortSignal): Promise<Duplex> {
    const subject = { operation: "accept on hvsocket", id: `${this.#systemId} port ${this.port}` };
    if (signal?.aborted === true) return Promise.reject(abortedError(signal, "cancelled", subject));
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) return Promise.resolve(arrived);
    if (this.#closed !== undefined) return Promise.reject(this.#closedError());
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        resolve: (stream) => {
          settle();
          resolve(stream);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      const onAbort = (): void => {
        if (signal !== undefined) waiter.reject(abortedError(signal, "cancelled", subject));
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Streams that were accepted live on. Repeatable. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #close(): Promise<void> {
    for (const waiter of this.#waiters) waiter.reject(this.#closedError());
    for (const socket of this.#arrived.splice(0)) socket.destroy();
    // The callback waits for accepted streams too, which are not the listener's to end.
    this.#server.close();
    return Promise.resolve();
  }

  #arrive(socket: Socket): void {
    // A stream that fails before its user listens for errors must not end the process.
    socket.on("error", () => {});
    const [waiter] = this.#waiters;
    if (waiter !== undefined) waiter.resolve(socket);
    else if (this.#closed !== undefined || this.#arrived.length >= backlog) socket.destroy();
    else this.#arrived.push(socket);
  }

  #closedError(): HostError {
    const subject = { operation: "accept on hvsocket", id: `${this.#systemId} port ${this.port}` };
    return new HostError("Cancelled", "the listener was closed", { ...subject, gone: true });
  }
}

/** Dials a port of the guest: `CONNECT <port>` on `<base>`, answered by `OK <number>` and then the guest's stream. */
export function connectToGuest(
  systemId: string,
  vsockBase: string,
  port: number,
  signal?: AbortSignal,
): Promise<Duplex> {
  const operation = "connect to hvsocket";
  checkPort(operation, systemId, port);
  return new Promise((resolve, reject) => {
    const socket = connect({ path: vsockBase, allowHalfOpen: true });
    let reply = Buffer.alloc(0);
    const fail = (error: HostError): void => {
      stop();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => {
      if (signal !== undefined) {
        fail(abortedError(signal, "cancelled", { operation, id: `${systemId} port ${port}` }));
      }
    };
    const onEnd = (): void => fail(socketError("Unavailable", operation, systemId, port, "the guest refused"));
    const onError = (error: Error): void => fail(socketError("Unavailable", operation, systemId, port, error));
    const onReadable = (): void => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        reply = Buffer.concat([reply, chunk]);
      }
      const end = reply.indexOf("\n");
      if (end === -1 && reply.length <= longestReplyBytes) return;
      const line = reply.subarray(0, end === -1 ? longestReplyBytes : end).toString("latin1");
      if (!/^OK \d+$/.test(line)) {
        fail(
          socketError("Unavailable", operation, systemId, port, `expected "OK <number>", got ${JSON.stringify(line)}`),
        );
        return;
      }
      stop();
      if (end + 1 < reply.length) socket.unshift(reply.subarray(end + 1));
      socket.on("error", () => {});
      resolve(socket);
    };
    const stop = (): void => {
      signal?.removeEventListener("abort", onAbort);
      socket.off("readable", onReadable).off("end", onEnd).off("error", onError);
      socket.on("error", () => {});
    };
    socket.on("readable", onReadable).on("end", onEnd).on("error", onError);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    else socket.write(`CONNECT ${port}\n`);
  });
}

function checkPort(operation: string, systemId: string, port: number): void {
  if (Number.isInteger(port) && port >= 0 && port <= highestVsockPort) return;
  throw socketError("InvalidArgument", operation, systemId, port, `expected a port from 0 to ${highestVsockPort}`);
}

function socketError(
  code: "AlreadyExists" | "NotFound" | "Internal" | "Unavailable" | "InvalidArgument",
  operation: string,
  systemId: string,
  port: number,
  cause: unknown,
): HostError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new HostError(code, message, { operation, id: `${systemId} port ${port}`, cause });
}

function errnoOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
