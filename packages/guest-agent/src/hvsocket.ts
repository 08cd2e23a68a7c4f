/** hvsockets as a guest of the emulated host has them: Unix sockets in one folder, "hybrid vsock". */
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";

const connectLineLimit = 32;
const connectPattern = /^CONNECT ([0-9]{1,10})$/;

/** Dials a port of the host. Rejects when nobody listens there, and with the signal's reason when it aborts. */
export function dialHost(folder: string, port: number, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const socket = connect({ path: `${folder}/hv.vsock_${port}`, allowHalfOpen: true });
    const settle = (): void => {
      socket.removeAllListeners();
      signal?.removeEventListener("abort", onAbort);
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      reject(signal?.reason);
    };
    socket.once("connect", () => {
      settle();
      resolve(socket);
    });
    socket.once("error", (error) => {
      settle();
      reject(new Error(`hvsocket port ${port} of the host: ${error.message}`, { cause: error }));
    });
    signal?.addEventListener("abort", onAbort);
  });
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
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.destroy());
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
      socket.removeAllListeners();
      socket.pause();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      socket.write(`OK ${port}\n`);
      serve(socket);
    };
    socket.on("data", onData);
  });
  server.listen(path);
  return server;
}
