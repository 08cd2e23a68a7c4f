import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type CrashReport, hresults, type SystemExitStatus } from "@uvm-shim/hcs-schema";
import {
  checkEmulatedHostMessage,
  type EmulatedHostCallName,
  type EmulatedHostCalls,
  type EmulatedHostResults,
  emulatedHostMaximumLineBytes,
  emulatedHostProtocolVersion,
  JsonLines,
} from "@uvm-shim/host-protocol";
import { Refusal } from "./refusal.ts";

export interface HostEvents {
  crashed(handle: number, report: CrashReport): void;
  exited(handle: number, status: SystemExitStatus): void;
  /** The host is gone; calls that wait have failed. */
  lost(): void;
}

/** One connection to the emulated host, whose refusals stay as they are: the DLLs hand them on. */
export class HostClient {
  readonly #socket: Socket;
  readonly #events: HostEvents;
  readonly #lines = new JsonLines(emulatedHostMaximumLineBytes);
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;
  #closed = false;

  private constructor(socket: Socket, events: HostEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("data", (chunk: Buffer) => {
      for (const line of this.#lines.push(chunk)) this.#receive(line);
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#end());
  }

  static async open(socketPath: string, events: HostEvents): Promise<HostClient> {
    const socket = connect(socketPath);
    await once(socket, "connect");
    const client = new HostClient(socket, events);
    await client.call("hello", { version: emulatedHostProtocolVersion });
    return client;
  }

  call<Name extends EmulatedHostCallName>(
    call: Name,
    parameters: EmulatedHostCalls[Name],
  ): Promise<EmulatedHostResults[Name]> {
    const waiter = Promise.withResolvers<unknown>();
    if (this.#socket.destroyed) waiter.reject(disconnected());
    else {
      this.#lastId++;
      this.#waiting.set(this.#lastId, waiter);
      this.#socket.write(`${JSON.stringify({ id: this.#lastId, call, arguments: parameters })}\n`);
    }
    return waiter.promise as Promise<EmulatedHostResults[Name]>;
  }

  /** Handles end with it, and send no further events. */
  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  /** As when the host dies. */
  cut(): void {
    this.#socket.destroy();
  }

  #receive(line: string): void {
    const message = checkEmulatedHostMessage(JSON.parse(line));
    switch (message.kind) {
      case "crashed":
        this.#events.crashed(message.handle, message.report);
        return;
      case "exited":
        this.#events.exited(message.handle, message.status);
        return;
      case "result":
        this.#take(message.id)?.resolve(message.result);
        return;
      case "error": {
        const { hresult, message: words, events } = message.error;
        this.#take(message.id)?.reject(new Refusal(hresult, words, events));
        return;
      }
    }
  }

  #take(id: number): PromiseWithResolvers<unknown> | undefined {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiter;
  }

  #end(): void {
    for (const waiter of this.#waiting.values()) waiter.reject(disconnected());
    this.#waiting.clear();
    if (!this.#closed) this.#events.lost();
  }
}

function disconnected(): Refusal {
  return new Refusal(hresults.HCS_E_SERVICE_DISCONNECT, "the compute service is gone");
}
