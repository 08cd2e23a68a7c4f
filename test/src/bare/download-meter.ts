/** A proxy on this machine through which a command downloads, so that it is known how much. */
import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";

export class DownloadMeter implements AsyncDisposable {
  readonly #server: Server;
  readonly #connections = new Set<Duplex>();
  #bytes = 0;

  private constructor() {
    this.#server = createServer((incoming, answer) => {
      const { hostname, port, pathname, search } = new URL(incoming.url ?? "");
      const { method, headers } = incoming;
      const outgoing = request(
        { hostname, port: port || 80, path: `${pathname}${search}`, method, headers },
        (reply) => {
          answer.writeHead(reply.statusCode ?? 502, reply.headers);
          reply.on("data", (chunk: Buffer) => this.#count(chunk)).pipe(answer);
        },
      );
      outgoing.on("error", () => answer.destroy());
      incoming.pipe(outgoing);
    });
    this.#server.on("connect", (incoming, client: Duplex, head: Buffer) => {
      const { hostname, port } = new URL(`http://${incoming.url}`);
      const server = connect(Number(port || 443), hostname, () => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        server.write(head);
        server.pipe(client).pipe(server);
      });
      server.on("data", (chunk: Buffer) => this.#count(chunk));
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#connections.add(one);
        one.on("error", () => other.destroy()).on("close", () => this.#connections.delete(one));
      }
    });
  }

  static async start(): Promise<DownloadMeter> {
    const meter = new DownloadMeter();
    meter.#server.listen(0, "127.0.0.1");
    await once(meter.#server, "listening");
    return meter;
  }

  /** The variables that make npm, pnpm and apt use it. */
  get environment(): Readonly<Record<string, string>> {
    const address = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return { http_proxy: address, https_proxy: address, HTTPS_PROXY: address };
  }

  /** How many bytes came in since it was last asked. */
  take(): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  #count(chunk: Buffer): void {
    this.#bytes += chunk.length;
  }
}
