import { closeSync } from "node:fs";
import { type ArrivedBytes, type DescriptorSocket, LinuxCallError } from "@uvm-shim/linux-calls";
import {
  disconnectedError,
  headerLength,
  longestPayload,
  protocolError,
  type Request,
  type RequestHeader,
  readHeader,
} from "./requests.ts";

/** Messages from a stream, with the descriptors that came with each. */
export class MessageReader {
  readonly #socket: Pick<DescriptorSocket, "receive">;
  readonly #bytes = Buffer.alloc(headerLength + longestPayload);
  readonly #mostDescriptors: number;
  #filled = 0;
  #header: RequestHeader | undefined;
  #descriptors: number[] = [];

  constructor(socket: Pick<DescriptorSocket, "receive">, mostDescriptors: number) {
    this.#socket = socket;
    this.#mostDescriptors = mostDescriptors;
  }

  /** The next whole message, undefined until there is one, "end" after the last. */
  next(): Request | "end" | undefined {
    for (;;) {
      const wanted = headerLength + (this.#header?.length ?? 0);
      if (this.#filled === wanted) {
        if (this.#header !== undefined) return this.#take(this.#header);
        this.#header = readHeader(this.#bytes);
        continue;
      }
      // Never beyond the message: descriptors come with its first bytes, and must not be taken for those of another.
      const arrived = this.#receive(this.#bytes.subarray(this.#filled, wanted));
      if (arrived === undefined) return undefined;
      this.#descriptors.push(...arrived.descriptors);
      if (this.#descriptors.length > this.#mostDescriptors) throw protocolError("too many file descriptors");
      if (arrived.length === 0) {
        if (this.#filled > 0) throw protocolError("the end of the connection in its middle");
        return "end";
      }
      this.#filled += arrived.length;
    }
  }

  /** Closes the descriptors of a message that is not whole. */
  close(): void {
    for (const descriptor of this.#descriptors) closeSync(descriptor);
    this.#descriptors = [];
  }

  #receive(bytes: Buffer): ArrivedBytes | undefined {
    try {
      return this.#socket.receive(bytes);
    } catch (error) {
      if (error instanceof LinuxCallError) throw disconnectedError(error);
      throw protocolError((error as Error).message);
    }
  }

  #take({ request, needsReply, length }: RequestHeader): Request {
    const payload = Buffer.from(this.#bytes.subarray(headerLength, headerLength + length));
    const descriptors = this.#descriptors;
    this.#filled = 0;
    this.#header = undefined;
    this.#descriptors = [];
    return { request, needsReply, payload, descriptors };
  }
}
