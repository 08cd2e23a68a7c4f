import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { EmulatedHost } from "../emulated-host.ts";
import { Session } from "./session.ts";

/** What serves a host on a socket. */
export interface HostServerOptions {
  readonly host: EmulatedHost;
  readonly socketPath: string;
  /** Milliseconds without systems and clients until the host ends. */
  readonly idleMs: number;
}

/** Serves an emulated host on a Unix socket until it is idle. */
export class HostServer {
  readonly #options: HostServerOptions;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #idle = Promise.withResolvers<void>();
  #idleCheck: NodeJS.Timeout | undefined;

  constructor(options: HostServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  /** Resolves when the socket accepts connections. Only root may connect. */
  async listen(): Promise<void> {
    const { socketPath } = this.#options;
    rmSync(socketPath, { force: true });
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen(socketPath, resolve);
      });
    } finally {
      process.umask(umask);
    }
    // A connection that cannot be accepted is lost; the client must retry.
    this.#server.on("error", () => {});
    chmodSync(socketPath, 0o600);
    this.#expectIdle();
  }

  /** Resolves after the idle time; the host then no longer listens. */
  get idle(): Promise<void> {
    return this.#idle.promise;
  }

  /** Number of clients. */
  get clients(): number {
    return this.#clients.size;
  }

  close(): void {
    clearTimeout(this.#idleCheck);
    this.#server.close();
    for (const client of this.#clients) client.destroy();
  }

  #welcome(socket: Socket): void {
    this.#clients.add(socket);
    new Session(this.#options.host, socket);
    socket.on("close", () => {
      this.#clients.delete(socket);
      this.#expectIdle();
    });
  }

  #expectIdle(): void {
    clearTimeout(this.#idleCheck);
    // Clients that are closed with the server must not restart the idle time.
    if (!this.#server.listening) return;
    if (this.#clients.size > 0) return;
    // A plain timer: it restarts with each client, and nothing awaits it, unlike a clock's wait.
    this.#idleCheck = setTimeout(() => {
      if (this.#clients.size > 0) return;
      if (!this.#options.host.isEmpty) {
        this.#expectIdle();
        return;
      }
      this.close();
      this.#idle.resolve();
    }, this.#options.idleMs);
  }
}
