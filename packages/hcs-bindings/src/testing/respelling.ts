/** Documents with names in another case than Microsoft's schemas. */
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { JsonLines } from "@uvm-shim/host-protocol";

/** How names in a host's answers are spelled in another case. */
export const spellings = {
  lower: (name: string) => name.toLowerCase(),
  upper: (name: string) => name.toUpperCase(),
  swapped: (name: string) =>
    name.replaceAll(/[a-z]/gi, (letter) => (letter < "a" ? letter.toLowerCase() : letter.toUpperCase())),
} as const;

/** One of `spellings`. */
export type Spelling = keyof typeof spellings;

/** All of `spellings`, for tests that try each. */
export const allSpellings = Object.keys(spellings) as readonly Spelling[];

/** The value with the selected names of all its objects in another case. */
export function respelled(
  value: unknown,
  spelling: Spelling,
  isChanged: (name: string) => boolean = () => true,
): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => respelled(item, spelling, isChanged));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      isChanged(name) ? spellings[spelling](name) : name,
      respelled(member, spelling, isChanged),
    ]),
  );
}

/** The same for a JSON text; other text is returned unchanged. */
export function respelledText(text: string, spelling: Spelling): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  return JSON.stringify(respelled(value, spelling));
}

const maximumLineBytes = 64 * 1024 * 1024;

/** Selects names of documents, and excludes those of the protocol around them. */
const isOfDocument = (name: string): boolean => /^[A-Z]/.test(name);

/** Windows answers with a structure, which has no names. */
const isTimeZone = (message: unknown): boolean => /"StandardDate":\{/.test(JSON.stringify(message));

/** A proxy of an emulated host that changes the case of names in its answers. */
export class RespellingProxy {
  readonly #server: Server;
  readonly #path: string;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** Listens on its own path; the host must listen before a client connects. */
  static async start(path: string, hostPath: string, spelling: Spelling): Promise<RespellingProxy> {
    const server = createServer();
    const proxy = new RespellingProxy(server, path);
    server.on("connection", (client) => proxy.#join(client, connect({ path: hostPath }), spelling));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path }, resolve);
    });
    return proxy;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    rmSync(this.#path, { force: true });
  }

  #join(client: Socket, host: Socket, spelling: Spelling): void {
    const lines = new JsonLines(maximumLineBytes);
    client.pipe(host);
    host.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk)) {
        const message: unknown = JSON.parse(line);
        const answer = isTimeZone(message) ? message : respelled(message, spelling, isOfDocument);
        client.write(`${JSON.stringify(answer)}\n`);
      }
    });
    for (const [socket, other] of [
      [client, host],
      [host, client],
    ] as const) {
      this.#sockets.add(socket);
      // A failed connection ends the other one.
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
