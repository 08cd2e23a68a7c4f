import { existsSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { requireDescriptors } from "@uvm-shim/child-processes/descriptors";
import { acceptancePattern, connectLine, hostServicePath, longestHvsocketLine } from "@uvm-shim/host-protocol";
import { AcceptQueue, backlog } from "../accept-queue.ts";
import { abortedError, type HostError } from "../host-error.ts";
import { checkPort, portOf, serviceGuidOf, socketError } from "../hvsocket-service.ts";
import type { HvsocketListener, HvsocketService } from "../types.ts";

/**
 * Listens for the guest on a port or service: in the hybrid vsock convention, on the Unix socket `<base>_<port>`. The
 * listener is in `open` until it is closed.
 */
export async function listenForGuest(
  systemId: string,
  vsockBase: string,
  service: HvsocketService,
  open: Set<HvsocketListener> = new Set(),
): Promise<HvsocketListener> {
  const port = portOf(systemId, service);
  checkPort("listen on hvsocket", systemId, port);
  const path = hostServicePath(vsockBase, serviceGuidOf(service));
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
    server.listen({ path, backlog });
  }).catch((error: unknown) => {
    // libuv reports EACCES for a missing directory.
    const gone = !existsSync(dirname(path));
    const code = gone ? "NotFound" : errnoOf(error) === "EADDRINUSE" ? "AlreadyExists" : "Internal";
    throw socketError(code, "listen on hvsocket", systemId, port, error);
  });
  const listener = new UnixListener(server, systemId, port, open);
  try {
    requireDescriptors(listeners.size, "accept");
  } catch (error) {
    await listener.close();
    throw socketError("ResourceExhausted", "listen on hvsocket", systemId, port, error);
  }
  return listener;
}

/** Each may have to accept a connection: the runtime closes those that it cannot accept, without an event. */
const listeners = new Set<UnixListener>();

class UnixListener implements HvsocketListener {
  readonly port: number;
  readonly #server: Server;
  readonly #queue: AcceptQueue;
  readonly #open: Set<HvsocketListener>;

  constructor(server: Server, systemId: string, port: number, open: Set<HvsocketListener>) {
    this.#server = server;
    this.#queue = new AcceptQueue(`${systemId} port ${port}`);
    this.port = port;
    this.#open = open;
    listeners.add(this);
    open.add(this);
    // A connection that cannot be accepted, for example without free descriptors, is lost; later ones are accepted.
    server.on("error", () => {});
    server.on("connection", (socket) => this.#queue.arrive(socket));
  }

  accept(signal?: AbortSignal): Promise<Duplex> {
    return this.#queue.accept(signal);
  }

  /** Accepted streams stay open. Idempotent. */
  close(): Promise<void> {
    listeners.delete(this);
    this.#open.delete(this);
    this.#queue.close();
    // The callback also waits for accepted streams, which stay open.
    this.#server.close();
    return Promise.resolve();
  }
}

/** Connects to a port of the guest: sends `CONNECT <port>` on `<base>`, and gets `OK <number>` followed by the stream. */
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
    const onEnd = (): void =>
      fail(socketError("Unavailable", operation, systemId, port, "the guest refused the connection"));
    const onError = (error: Error): void => fail(socketError("Unavailable", operation, systemId, port, error));
    const onReadable = (): void => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        reply = Buffer.concat([reply, chunk]);
      }
      const end = reply.indexOf("\n");
      if (end === -1 && reply.length <= longestHvsocketLine) return;
      const line = reply.subarray(0, end === -1 ? longestHvsocketLine : end).toString("latin1");
      if (!acceptancePattern.test(line)) {
        fail(
          socketError(
            "Unavailable",
            operation,
            systemId,
            port,
            `invalid answer ${JSON.stringify(line)}: expected "OK <number>"`,
          ),
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
    else socket.write(`${connectLine(port)}\n`);
  });
}

function errnoOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
