import { createServer, type Server } from "node:net";
import { containerd } from "@uvm-shim/shim/protocol";
import { implement, TtrpcServer } from "@uvm-shim/ttrpc";

const { Events } = containerd.services.events.ttrpc.v1;

export interface ReceivedEvent {
  readonly namespace: string;
  readonly topic: string;
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Takes the events that shims send to containerd. */
export class EventSink {
  readonly events: ReceivedEvent[] = [];
  readonly #listener: Server;
  readonly #server: TtrpcServer;

  private constructor() {
    const service = implement(Events, {
      Forward: async ({ envelope }) => {
        if (envelope?.event != null) {
          const { type_url: typeUrl, value } = envelope.event;
          this.events.push({ namespace: envelope.namespace, topic: envelope.topic, typeUrl, value });
        }
        return {};
      },
    });
    this.#server = new TtrpcServer({ services: [service] });
    this.#listener = createServer((socket) => this.#server.serve(socket));
  }

  static async listen(socketPath: string): Promise<EventSink> {
    const sink = new EventSink();
    await new Promise<void>((resolve, reject) => {
      sink.#listener.once("error", reject);
      sink.#listener.listen(socketPath, resolve);
    });
    return sink;
  }

  topics(): string[] {
    return this.events.map((event) => event.topic);
  }

  async close(): Promise<void> {
    this.#server.destroy();
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }
}
