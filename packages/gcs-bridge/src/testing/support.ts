import { type Duplex, duplexPair } from "node:stream";
import {
  type ContainerNotification,
  GcsBridgeClient,
  type GcsBridgeClientOptions,
  GcsBridgeServer,
  type GcsCapabilities,
  type GuestHandlers,
} from "../index.ts";
import { encodeFrame, type Frame, FrameDecoder, messageType } from "../wire.ts";

/** Capabilities of a Linux guest. */
export const capabilities: GcsCapabilities = {
  SendHostCreateMessage: false,
  SendHostStartMessage: false,
  SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
  RuntimeOsType: "Linux",
  GuestDefinedCapabilities: {
    NamespaceAddRequestSupported: true,
    SignalProcessSupported: true,
    DumpStacksSupported: true,
    DeleteContainerStateSupported: true,
  },
};

/** The activity id of every request of `clientOn`. */
export const activityId = "11111111-2222-3333-4444-555555555555";

/** A client, and what it has received beside answers. */
export interface ClientUnderTest {
  readonly client: GcsBridgeClient;
  readonly notifications: ContainerNotification[];
  readonly ignored: string[];
}

/** A client on the host's end of a bridge, which has not negotiated yet. */
export function clientOn(stream: Duplex, options: Partial<GcsBridgeClientOptions> = {}): ClientUnderTest {
  const notifications: ContainerNotification[] = [];
  const ignored: string[] = [];
  const client = new GcsBridgeClient(stream, {
    newActivityId: () => activityId,
    onNotification: (notification) => notifications.push(notification),
    onIgnored: (what) => ignored.push(what),
    ...options,
  });
  return { client, notifications, ignored };
}

/** Both ends, connected and negotiated. */
export async function connectedPair(handlers: GuestHandlers): Promise<ClientUnderTest & { server: GcsBridgeServer }> {
  const [host, guest] = duplexPair();
  const server = new GcsBridgeServer(guest, handlers, { capabilities });
  const under = clientOn(host);
  await under.client.negotiate();
  return { ...under, server };
}

/** The other end of a bridge, which sends frames of the test's choice. */
export class RawPeer {
  readonly stream: Duplex;
  readonly #decoder = new FrameDecoder(0x1000000);
  readonly #frames: Frame[] = [];
  readonly #waiting: ((frame: Frame) => void)[] = [];

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      for (const frame of this.#decoder.push(chunk)) {
        const next = this.#waiting.shift();
        if (next === undefined) this.#frames.push(frame);
        else next(frame);
      }
    });
  }

  next(): Promise<Frame> {
    const frame = this.#frames.shift();
    return frame === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(frame);
  }

  async nextJson(): Promise<{ type: number; id: bigint; json: Record<string, unknown> }> {
    const { type, id, body } = await this.next();
    return { type, id, json: JSON.parse(body.toString("utf8")) as Record<string, unknown> };
  }

  send(type: number, id: bigint, body: unknown): void {
    this.stream.write(encodeFrame({ type, id, body: Buffer.from(JSON.stringify(body)) }));
  }

  request(procedure: number, id: bigint, body: unknown): void {
    this.send(messageType("request", procedure), id, body);
  }

  /** A header that claims any size, without a body. */
  sendHeader(type: number, size: number, id: bigint): void {
    const header = encodeFrame({ type, id, body: Buffer.alloc(0) });
    header.writeUInt32LE(size, 4);
    this.stream.write(header);
  }
}
