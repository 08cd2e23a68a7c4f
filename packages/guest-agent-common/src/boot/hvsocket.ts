/** hvsockets of the emulated host: Unix sockets in one folder, "hybrid vsock". */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { hostPortPath, longestHvsocketLine } from "@uvm-shim/host-protocol";
import { acceptanceLine, hvsocketBaseName, portOfConnectLine } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import { connectUnixSocket } from "@uvm-shim/linux-calls";

/** Pause before the next attempt at a listener with a full backlog. */
const fullPauseMs = 5;

/** Dials a port of the host. Rejects if nothing listens there, and with the signal's reason if it aborts. */
export async function dialHost(folder: string, port: number, signal?: AbortSignal): Promise<Socket> {
  signal?.throwIfAborted();
  const socket = connect({ path: hostPortPath(baseIn(folder), port), allowHalfOpen: true });
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

/** As `dialHost`, but returns a descriptor, which the caller owns. */
export async function dialHostDescriptor(folder: string, port: number, signal: AbortSignal): Promise<number> {
  try {
    for (;;) {
      signal.throwIfAborted();
      const descriptor = connectUnixSocket(hostPortPath(baseIn(folder), port));
      if (descriptor !== undefined) return descriptor;
      await delay(fullPauseMs, signal);
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { message } = error as Error;
    throw new Error(`hvsocket port ${port} of the host: ${message}`, { cause: error });
  }
}

/**
 * Accepts the host's connections to ports of this guest. The host sends `CONNECT <port>` and a line feed; the answer is
 * `OK <port>` for a port with a service, and the end of the connection for anything else.
 */
export function serveGuestPorts(folder: string, services: ReadonlyMap<number, (socket: Socket) => void>): Server {
  const path = baseIn(folder);
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let head = Buffer.alloc(0);
    const drop = (): unknown => socket.destroy();
    socket.on("error", drop);
    socket.on("end", drop);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\n");
      if (end === -1 && head.length <= longestHvsocketLine) return;
      const port = portOfConnectLine(head.toString("latin1", 0, Math.max(end, 0)));
      const serve = port === undefined ? undefined : services.get(port);
      if (port === undefined || serve === undefined) {
        socket.destroy();
        return;
      }
      socket.off("data", onData).off("end", drop);
      socket.pause();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      socket.write(`${acceptanceLine(port)}\n`);
      serve(socket);
    };
    socket.on("data", onData);
  });
  server.listen(path);
  // A connection that cannot be accepted must not end the agent.
  server.once("listening", () => server.on("error", () => {}));
  return server;
}

function baseIn(folder: string): string {
  return `${folder}/${hvsocketBaseName}`;
}
