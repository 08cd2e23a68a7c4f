/** A named pipe of a container, each client of which is connected with a pipe of the host. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Readable } from "node:stream";
import type { ChildProcess } from "@uvm-shim/child-processes";
import type { WindowsContainer } from "./container.ts";
import { encodeFrame, readFrames, type StarterFrame } from "./frames.ts";

const largestPiece = 65_536;

/** What one client's connection has for it. */
interface Client {
  readonly socket: Socket;
  /** Settles when the last piece has been taken. */
  taken: PromiseWithResolvers<void> | undefined;
}

/** Resolves when the pipe exists. It ends with its container. */
export async function serveMappedPipe(container: WindowsContainer, name: string, hostSocket: string): Promise<void> {
  const server = await container.startStarter("SYSTEM", ["pipe", name]);
  server.stdin?.on("error", () => {});
  const pipe = new MappedPipe(server, hostSocket);
  await pipe.exists;
}

class MappedPipe {
  readonly exists: Promise<void>;
  readonly #server: ChildProcess;
  readonly #hostSocket: string;
  readonly #clients = new Map<number, Client>();
  readonly #existing = Promise.withResolvers<void>();

  constructor(server: ChildProcess, hostSocket: string) {
    this.#server = server;
    this.#hostSocket = hostSocket;
    this.exists = this.#existing.promise;
    void this.#listen();
  }

  async #listen(): Promise<void> {
    for await (const frame of readFrames(this.#server.stdout as Readable)) this.#take(frame);
    this.#existing.reject(new Error("the server of a mapped pipe has ended"));
    for (const { socket } of this.#clients.values()) socket.destroy();
  }

  #take({ kind, payload }: StarterFrame): void {
    if (kind === "r") {
      this.#existing.resolve();
      return;
    }
    const id = payload.readUInt32LE(0);
    if (kind === "f") this.#existing.reject(new Error(`a named pipe cannot be made: Windows error ${id}`));
    else if (kind === "n") this.#connect(id);
    else this.#takeOf(id, kind, payload.subarray(4));
  }

  #takeOf(id: number, kind: string, bytes: Buffer): void {
    const client = this.#clients.get(id);
    switch (kind) {
      case "d":
        // A pipe of the host that has ended takes nothing, and its client learns it.
        client?.socket.write(bytes, () => this.#send("k", id));
        return;
      case "k":
        client?.taken?.resolve();
        return;
      case "c":
        client?.socket.end();
        client?.taken?.resolve();
        this.#clients.delete(id);
        return;
      default:
        throw new Error(
          `the server of a pipe sent a frame of kind ${JSON.stringify(kind)}: expected r, f, n, d, k or c`,
        );
    }
  }

  #connect(id: number): void {
    const client: Client = { socket: connect({ path: this.#hostSocket }), taken: undefined };
    client.socket.on("error", () => client.socket.destroy());
    this.#clients.set(id, client);
    void this.#carry(id, client);
  }

  async #carry(id: number, client: Client): Promise<void> {
    try {
      if (client.socket.connecting) await once(client.socket, "connect");
      for await (const chunk of client.socket) {
        for (let offset = 0; offset < (chunk as Buffer).length; offset += largestPiece) {
          client.taken = Promise.withResolvers();
          this.#send("d", id, (chunk as Buffer).subarray(offset, offset + largestPiece));
          await client.taken.promise;
        }
      }
    } catch {
      // The host has broken the connection, or never took it.
    }
    if (this.#clients.get(id) === client) this.#send("c", id);
  }

  #send(kind: string, id: number, bytes: Buffer = Buffer.alloc(0)): void {
    const number = Buffer.alloc(4);
    number.writeUInt32LE(id);
    if (this.#server.stdin?.writable) this.#server.stdin.write(encodeFrame(kind, Buffer.concat([number, bytes])));
  }
}
