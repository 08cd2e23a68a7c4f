import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { hostPortPath, longestHvsocketLine } from "@uvm-shim/host-protocol";
import { acceptanceLine, portOfConnectLine } from "@uvm-shim/host-protocol/guest";
import type { HostPorts } from "../types.ts";

/** Dials a port of the guest for a stream of the host; see `VsockTransport.connect`. */
export type GuestDialer = (port: number, stream: Duplex, opened: (hostPort: number | undefined) => void) => void;

/** The host's Unix sockets for a guest, in the convention of the emulated host: ../../host-protocol/src/hvsockets.ts. */
export class HostSockets implements HostPorts {
  readonly #base: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(base: string, dialGuest: GuestDialer) {
    this.#base = base;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      readRequest(socket, (port) => {
        dialGuest(port, socket, (hostPort) => {
          if (hostPort === undefined) socket.destroy();
          else socket.write(`${acceptanceLine(hostPort)}\n`);
          this.#sockets.delete(socket);
        });
      });
    });
  }

  /** Listens for the host. */
  async listen(): Promise<void> {
    this.#server.listen(this.#base);
    await once(this.#server, "listening");
    // A connection that cannot be accepted, for example without free descriptors, must not end the device.
    this.#server.on("error", () => {});
  }

  async dial(port: number): Promise<Socket> {
    const socket = connect({ path: hostPortPath(this.#base, port), allowHalfOpen: true });
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Stops listening. Connections that the guest has not answered end; open ones are the transport's. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Reads the first line, and no byte beyond it: those are the guest's. */
function readRequest(socket: Socket, onPort: (port: number) => void): void {
  let head = Buffer.alloc(0);
  const drop = (): unknown => socket.destroy();
  const onReadable = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\n");
    if (end === -1 && head.length <= longestHvsocketLine) return;
    socket.off("readable", onReadable).off("end", drop);
    const port = end === -1 ? undefined : portOfConnectLine(head.toString("latin1", 0, end));
    if (port === undefined || port > 0xffffffff) {
      socket.destroy();
      return;
    }
    const rest = head.subarray(end + 1);
    if (rest.length > 0) socket.unshift(rest);
    onPort(port);
  };
  socket.on("error", drop).on("end", drop).on("readable", onReadable);
}
