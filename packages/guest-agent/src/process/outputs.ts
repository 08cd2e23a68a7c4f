/** The outputs of a process, carried to the host. */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { SplicedOutput, socketOf as socketOfAny, type TerminalStream } from "@uvm-shim/linux-calls";

/** Dials the host again after it has closed a connection; undefined once that is no longer needed. */
export type Redial = () => Promise<number | undefined>;

/** An output on its way to the host. */
export interface Output {
  /** Resolves when everything has been carried and the host has closed its end, or when that is no longer possible. */
  readonly ended: Promise<void>;
  /** Repeatable. */
  close(): void;
}

/** An output that is carried inside the kernel. Owns the pipe's reading end and the connection. */
export class PipeOutput implements Output {
  readonly ended: Promise<void>;
  readonly #pipe: number;
  #carrying: SplicedOutput | undefined;
  #isOpen = true;

  constructor(pipe: number, connection: number, redial: Redial | undefined) {
    this.#pipe = pipe;
    this.ended = this.#carry(connection, redial);
  }

  async #carry(connection: number, redial: Redial | undefined): Promise<void> {
    for (let next: number | undefined = connection; next !== undefined; ) {
      this.#carrying = new SplicedOutput(this.#pipe, next);
      if ((await this.#carrying.ended) !== "broken") return;
      // Without a connection the pipe is not read, so its writers wait.
      next = await redial?.();
      if (!this.#isOpen && next !== undefined) return closeSync(next);
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#carrying?.close();
    closeSync(this.#pipe);
  }
}

/** An output that the agent itself reads: of a terminal, or with a copy in a file. Owns both ends. */
export class StreamOutput implements Output {
  readonly ended: Promise<void>;
  readonly #source: Socket | TerminalStream;
  readonly #isClosedByHost: boolean;
  #socket: Socket | undefined;

  /** `isClosedByHost`: waits for the host to close at the end; a terminal's connection is closed without waiting. */
  constructor(
    source: Socket | TerminalStream,
    connection: number,
    options: { readonly isClosedByHost: boolean; readonly redial: Redial | undefined },
  ) {
    this.#source = source;
    this.#isClosedByHost = options.isClosedByHost;
    source.on("error", () => source.destroy());
    this.ended = this.#carry(connection, options.redial);
  }

  async #carry(connection: number, redial: Redial | undefined): Promise<void> {
    for (let next: number | undefined = connection; next !== undefined; ) {
      const socket = socketOf(next);
      this.#socket = socket;
      const how = await this.#carryTo(socket);
      this.#source.unpipe(socket);
      socket.destroy();
      if (how === "ended") return;
      next = await redial?.();
      if (this.#source.destroyed && next !== undefined) return closeSync(next);
    }
  }

  #carryTo(socket: Socket): Promise<"ended" | "broken"> {
    return new Promise((resolve) => {
      const onSourceEnd = (): void => {
        socket.end(() => {
          if (!this.#isClosedByHost) resolve("ended");
        });
        // The host sends nothing on an output, so the only event is its close.
        if (this.#isClosedByHost) socket.once("end", () => resolve("ended")).resume();
      };
      socket.on("error", () => resolve("broken"));
      socket.on("close", () => resolve("broken"));
      if (this.#source.closed) onSourceEnd();
      else this.#source.once("close", onSourceEnd);
      this.#source.pipe(socket, { end: false });
    });
  }

  close(): void {
    this.#source.destroy();
    this.#socket?.destroy();
  }
}

/**
 * The stream of a connection by its descriptor, which it owns from now on. Node has none for those of a virtual machine; for
 * the others its own is made with fewer calls.
 */
export function socketOf(connection: number): Socket {
  try {
    return new Socket({ fd: connection, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_INVALID_FD_TYPE") throw error;
    return socketOfAny(connection);
  }
}
