/** hvsockets as a guest of the emulated host has them: Unix sockets in one folder, "hybrid vsock". */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";
import { connectUnixSocket } from "@uvm-shim/linux-calls";

/** Between attempts at a listener that has no place for one more connection. */
const fullPauseMs = 5;
const connectLineLimit = 32;
const connectPattern = /^CONNECT ([0-9]{1,10})$/;

/** Dials a port of the host. Rejects when nobody listens there, and with the signal's reason when it aborts. */
export async function dialHost(folder: string, port: number, signal?: AbortSignal): Promise<Socket> {
  signal?.throwIfAborted();
  const socket = connect({ path: `${folder}/hv.vsock_${port}`, allowHalfOpen: true });
  try {
    await once(socket, "connect", signal === undefined ? {} : { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    if (signal?.aborted) throw signal.reason;
    const { message } = error as Error;
    throw new Error(`hvsocket port ${port} of the host: ${message}`, { cause: error });
  }
}

/** As `dialHost`, for what is carried without streams: answers with the descriptor, which is the caller's. */
export async function dialHostDescriptor(folder: string, port: number, signal: AbortSignal): Promise<number> {
  try {
    for (;;) {
      signal.throwIfAborted();
      const descriptor = connectUnixSocket(`${folder}/hv.vsock_${port}`);
      if (descriptor !== undefined) return descriptor;
      await delay(fullPauseMs, undefined, { signal });
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { message } = error as Error;
    throw new Error(`hvsocket port ${port} of the host: ${message}`, { cause: error });
  }
}

/**
 * Takes the host's connections to ports of this guest: the host sends `CONNECT <port>` and a line feed; a port that
 * somebody serves is answered `OK <port>`, everything else ends the connection.
 */
export function serveGuestPorts(folder: string, services: ReadonlyMap<number, (socket: Socket) => void>): Server {
  const path = `${folder}/hv.vsock`;
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let head = Buffer.alloc(0);
    const drop = (): unknown => socket.destroy();
    socket.on("error", drop);
    socket.on("end", drop);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\n");
      if (end === -1 && head.length <= connectLineLimit) return;
      const port = connectPattern.exec(head.toString("latin1", 0, Math.max(end, 0)))?.[1];
      const serve = port === undefined ? undefined : services.get(Number(port));
      if (serve === undefined) {
        socket.destroy();
        return;
      }
      socket.off("data", onData).off("end", drop);
      socket.pause();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      socket.write(`OK ${port}\n`);
      serve(socket);
    };
    socket.on("data", onData);
  });
  server.listen(path);
  // A connection that cannot be taken is its caller's loss, once there are any.
  server.once("listening", () => server.on("error", () => {}));
  return server;
}
