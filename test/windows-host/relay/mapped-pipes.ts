/** Named pipes of the Windows machine that VMs reach: the emulated host has a Unix socket for each. */
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { pipeline } from "node:stream";
import { hostPipePath } from "@uvm-shim/host-protocol";
import { Refusal } from "./refusal.ts";

/** A process that opens a pipe when it is asked, and joins it to a port of the loopback network. */
export interface PipeOpener {
  openPipe(path: string, port: number): void;
}

interface MappedPipe {
  readonly server: Server;
  readonly openers: PipeOpener[];
  readonly sockets: Set<Socket>;
}

export class MappedPipes {
  readonly #stateDirectory: string;
  /** By the path of the socket. */
  readonly #pipes = new Map<string, MappedPipe>();

  constructor(stateDirectory: string) {
    this.#stateDirectory = stateDirectory;
  }

  /** Serves the socket of a pipe, before the host is asked for it. Each of its connections is one of the pipe. */
  async add(pipe: string, opener: PipeOpener): Promise<void> {
    const path = this.#pathOf(pipe);
    const known = this.#pipes.get(path);
    if (known !== undefined) {
      known.openers.push(opener);
      return;
    }
    const mapped: MappedPipe = { server: createServer(), openers: [opener], sockets: new Set() };
    this.#pipes.set(path, mapped);
    mapped.server.on("connection", (socket) => void this.#join(mapped, pipe, socket));
    mkdirSync(dirname(path), { recursive: true });
    mapped.server.listen(path);
    await once(mapped.server, "listening");
  }

  remove(pipe: string, opener: PipeOpener): void {
    const path = this.#pathOf(pipe);
    const mapped = this.#pipes.get(path);
    const index = mapped?.openers.indexOf(opener) ?? -1;
    if (mapped === undefined || index === -1) return;
    mapped.openers.splice(index, 1);
    if (mapped.openers.length === 0) this.#end(path, mapped);
  }

  /** Removes everything that this process has mapped. */
  forget(opener: PipeOpener): void {
    for (const [path, mapped] of this.#pipes) {
      const left = mapped.openers.filter((other) => other !== opener);
      mapped.openers.splice(0, mapped.openers.length, ...left);
      if (left.length === 0) this.#end(path, mapped);
    }
  }

  #pathOf(pipe: string): string {
    const path = hostPipePath(this.#stateDirectory, pipe);
    if (path === undefined) throw new Refusal("E_INVALIDARG", `${pipe} is not a named pipe`);
    return path;
  }

  #end(path: string, { server, sockets }: MappedPipe): void {
    this.#pipes.delete(path);
    server.close();
    for (const socket of sockets) socket.destroy();
    rmSync(path, { force: true });
    if (this.#pipes.size === 0) rmSync(dirname(path), { recursive: true, force: true });
  }

  async #join({ openers, sockets }: MappedPipe, pipe: string, client: Socket): Promise<void> {
    sockets.add(client);
    client.on("error", () => client.destroy()).on("close", () => sockets.delete(client));
    const server = createServer().listen(0, "127.0.0.1");
    client.on("close", () => server.close());
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the server has no port");
    openers.at(-1)?.openPipe(pipe, address.port);
    const [opened] = (await once(server, "connection")) as [Socket];
    server.close();
    opened.setNoDelay(true);
    // A pipe has no halves: when one direction ends, both do.
    const over = (): void => {
      client.destroySoon();
      opened.destroySoon();
    };
    pipeline(client, opened, over);
    pipeline(opened, client, over);
  }
}
