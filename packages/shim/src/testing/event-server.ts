import net from "node:net";
import { implement, TtrpcServer } from "@uvm-shim/ttrpc";
import { containerd } from "../generated/messages.js";

const types = containerd.events as unknown as { readonly [name: string]: { decode(bytes: Uint8Array): object } };

/** An event that the shim has published, decoded. */
export interface ReceivedEvent {
  readonly topic: string;
  readonly namespace: string;
  readonly type: string;
  readonly fields: { readonly [field: string]: unknown };
}

/** containerd's event service on a Unix socket. */
export class EventServer {
  readonly received: ReceivedEvent[] = [];
  readonly #server: net.Server;
  readonly #ttrpc: TtrpcServer;
  readonly #sockets = new Set<net.Socket>();
  /** Delays the acknowledgement of an event; throws to refuse it. */
  onForward: (topic: string) => void | Promise<void> = () => {};

  constructor() {
    this.#ttrpc = new TtrpcServer({
      services: [
        implement(containerd.services.events.ttrpc.v1.Events, {
          Forward: async ({ envelope }) => {
            await this.onForward(envelope?.topic ?? "");
            const type = envelope?.event?.type_url ?? "";
            const message = types[type.replace("containerd.events.", "")];
            const fields = message?.decode(envelope?.event?.value ?? new Uint8Array()) ?? {};
            this.received.push({
              topic: envelope?.topic ?? "",
              namespace: envelope?.namespace ?? "",
              type,
              fields: JSON.parse(JSON.stringify(fields)),
            });
            return {};
          },
        }),
      ],
    });
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
      this.#ttrpc.serve(socket);
    });
  }

  get topics(): string[] {
    return this.received.map(({ topic }) => topic);
  }

  async listen(file: string): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(file, resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
