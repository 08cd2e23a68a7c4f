/** A service with a method of each kind, and connections to it, for the tests. */
import { type Duplex, duplexPair } from "node:stream";
import { TtrpcClient, type TtrpcClientOptions } from "../client.ts";
import { google, ttrpc } from "../generated/messages.js";
import { TtrpcServer, type TtrpcServerOptions } from "../server.ts";
import { type CallContext, defineService, type Handlers, implement } from "../service.ts";

const { KeyValue } = ttrpc;
const { Any } = google.protobuf;

/** A service with a method of each kind. */
export const Echo = defineService("test.Echo", {
  Say: { kind: "unary", request: KeyValue, response: KeyValue },
  Bytes: { kind: "unary", request: Any, response: Any },
  Count: { kind: "serverStream", request: KeyValue, response: KeyValue },
  Join: { kind: "clientStream", request: KeyValue, response: KeyValue },
  Chat: { kind: "bidi", request: KeyValue, response: KeyValue },
});

/** Say and Bytes echo, Count counts to the number in its value, Join joins values, Chat echoes every message. */
export const echoHandlers: Required<Handlers<typeof Echo>> = {
  Say: async ({ key, value }) => ({ key, value }),
  Bytes: async (any) => any,
  async *Count({ key, value }) {
    for (let number = 0; number < Number(value); number++) yield { key, value: String(number) };
  },
  async Join(messages) {
    const values: string[] = [];
    for await (const { value } of messages) values.push(value);
    return { value: values.join(",") };
  },
  async *Chat(messages) {
    for await (const { key, value } of messages) yield { key, value };
  },
};

/** A client and a server on the two ends of a stream, which tests may break. */
export interface Pair {
  readonly client: TtrpcClient;
  readonly server: TtrpcServer;
  readonly clientStream: Duplex;
  readonly serverStream: Duplex;
}

/** Both ends, connected. */
export function connect(
  handlers: Handlers<typeof Echo> = {},
  options: Partial<TtrpcServerOptions> & { readonly client?: TtrpcClientOptions } = {},
): Pair {
  const server = new TtrpcServer({ services: [implement(Echo, { ...echoHandlers, ...handlers })], ...options });
  const [clientStream, serverStream] = duplexPair();
  server.serve(serverStream);
  return { client: new TtrpcClient(clientStream, options.client), server, clientStream, serverStream };
}

/** Rejects with the signal's reason once it aborts. */
export function untilAborted({ signal }: CallContext): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** All messages of a stream. */
export async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}
