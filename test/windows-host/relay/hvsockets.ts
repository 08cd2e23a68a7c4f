import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { HvsocketListener } from "@uvm-shim/hcs-bindings";
import { connectToGuest, listenForGuest } from "../../../packages/hcs-bindings/src/emulator/hvsocket.ts";
import { portOf } from "../../../packages/hcs-bindings/src/hvsocket-service.ts";
import { Refusal } from "./refusal.ts";

/** HV_GUID_WILDCARD, HV_GUID_CHILDREN and HV_GUID_LOOPBACK of hvsocket.h: addresses that are no VM's. */
const anybody = new Set([
  "00000000-0000-0000-0000-000000000000",
  "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
  "e0e16197-dd56-4a10-9195-5ee7a155a838",
]);

const loopback = "127.0.0.1";

/** What the hvsockets of all processes share. */
export interface SharedHvsockets {
  /** Ports of those who listen for anybody, by service. */
  readonly services: Map<string, number>;
  /** Where the hvsockets of a VM are, by its GUID. */
  vsockBaseOf(vmId: string): Promise<string>;
}

interface Listening {
  close(): void;
}

/** The hvsockets of one process, as the Winsock front has them: each is a socket of the loopback network. */
export class Hvsockets {
  readonly #relay: SharedHvsockets;
  /** By the front's number of the socket. */
  readonly #listening = new Map<string, Listening>();
  readonly #dialled = new Set<Server>();

  constructor(relay: SharedHvsockets) {
    this.#relay = relay;
  }

  /** What arrives for the service is joined to a connection to this port, where the front's socket listens. */
  async listen(socket: string, vmId: string, serviceId: string, port: number): Promise<void> {
    const listening = anybody.has(vmId)
      ? this.#listenForAnybody(serviceId, port)
      : await this.#listenForVm(vmId, serviceId, port);
    this.#listening.set(socket, listening);
  }

  stop(socket: string): void {
    this.#listening.get(socket)?.close();
    this.#listening.delete(socket);
  }

  /** The port that a socket of the front is to connect to, where whoever was dialled answers. */
  async dial(vmId: string, serviceId: string): Promise<number> {
    if (anybody.has(vmId)) {
      const port = this.#relay.services.get(serviceId);
      if (port === undefined) throw new Refusal("HCS_E_CONNECT_FAILED", `nobody listens on ${serviceId}`);
      return port;
    }
    const stream = await connectToGuest(vmId, await this.#relay.vsockBaseOf(vmId), portOf(vmId, serviceId));
    const server = createServer({ allowHalfOpen: true });
    this.#dialled.add(server);
    server.once("connection", (socket) => {
      this.#dialled.delete(server.close());
      join(stream, socket);
    });
    server.once("close", () => this.#dialled.delete(server));
    server.listen(0, loopback);
    await once(server, "listening");
    return portNumber(server);
  }

  close(): void {
    for (const socket of [...this.#listening.keys()]) this.stop(socket);
    for (const server of this.#dialled) server.close();
  }

  #listenForAnybody(serviceId: string, port: number): Listening {
    const { services } = this.#relay;
    if (services.has(serviceId)) throw new Refusal("ERROR_ALREADY_EXISTS", `${serviceId} is listened on`);
    services.set(serviceId, port);
    return { close: () => services.delete(serviceId) };
  }

  async #listenForVm(vmId: string, serviceId: string, port: number): Promise<Listening> {
    const base = await this.#relay.vsockBaseOf(vmId);
    const listener = await listenForGuest(vmId, base, portOf(vmId, serviceId)).catch((error: { code?: string }) => {
      throw new Refusal(error.code === "AlreadyExists" ? "ERROR_ALREADY_EXISTS" : "ERROR_NOT_FOUND", String(error));
    });
    void handOn(listener, port);
    return { close: () => void listener.close() };
  }
}

/** Until the listener is closed. */
async function handOn(listener: HvsocketListener, port: number): Promise<void> {
  for (;;) {
    const stream = await listener.accept().catch(() => undefined);
    if (stream === undefined) return;
    join(stream, connect({ host: loopback, port, allowHalfOpen: true }));
  }
}

/** Each direction ends by itself; when one stream fails, so does the other. */
function join(stream: Duplex, socket: Socket): void {
  socket.setNoDelay(true);
  for (const [from, to] of [
    [stream, socket],
    [socket, stream],
  ] as const) {
    from.on("error", () => from.destroy());
    from.on("close", () => {
      if (!from.readableEnded || from.errored !== null) to.destroy();
    });
    from.pipe(to);
  }
}

function portNumber(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}
