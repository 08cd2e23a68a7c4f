import type { Duplex } from "node:stream";
import { vsockServiceGuid } from "@uvm-shim/hcs-schema";
import type { StdioRelaySettings, VsockStdioRelaySettings } from "../procedure-bodies.ts";
import type { StdioListener } from "./types.ts";

/** Which streams of a process are connected. */
export interface ProcessPipes {
  readonly CreateStdInPipe: boolean;
  readonly CreateStdOutPipe: boolean;
  readonly CreateStdErrPipe: boolean;
}

/** The host's ends of a process's streams, for those that were asked for. */
export interface StdioStreams {
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
}

type StreamName = keyof StdioStreams;

const portFields = { stdin: "StdIn", stdout: "StdOut", stderr: "StdErr" } as const;

/** One stream: its port, and its connection once the guest has dialled. */
interface Channel {
  readonly name: StreamName;
  readonly port: number;
  readonly listener: StdioListener;
  stream: Duplex | undefined;
}

/**
 * The host's ends of one process's stdio. Each port accepts one connection; the reference's Linux guest dials before it answers
 * that the process has started. An output is closed once all of it has been read.
 */
export class ProcessStdio {
  /** Resolves when the guest has dialled every port; rejects if a port can no longer accept. */
  readonly connected: Promise<StdioStreams>;
  readonly #channels: readonly Channel[];
  readonly #closing = new AbortController();

  private constructor(channels: readonly Channel[]) {
    this.#channels = channels;
    this.connected = Promise.all(channels.map((channel) => this.#accept(channel))).then(() => this.#streams());
    // Not awaited if stdio is closed before the guest has dialled.
    this.connected.catch(() => {});
  }

  /** Listens for each stream with a pipe; on failure nothing is left listening. */
  static async listen(
    parameters: ProcessPipes,
    takePort: () => number,
    listen: (port: number) => Promise<StdioListener>,
  ): Promise<ProcessStdio> {
    const requested: StreamName[] = [];
    if (parameters.CreateStdInPipe) requested.push("stdin");
    if (parameters.CreateStdOutPipe) requested.push("stdout");
    if (parameters.CreateStdErrPipe) requested.push("stderr");
    const channels: Channel[] = [];
    try {
      for (const name of requested) {
        const port = takePort();
        channels.push({ name, port, listener: await listen(port), stream: undefined });
      }
    } catch (error) {
      await Promise.allSettled(channels.map((channel) => channel.listener.close()));
      throw error;
    }
    return new ProcessStdio(channels);
  }

  /** How a Linux guest finds the streams. */
  get ports(): VsockStdioRelaySettings {
    return Object.fromEntries(this.#channels.map(({ name, port }) => [portFields[name], port]));
  }

  /** How a Windows guest finds the streams. */
  get services(): StdioRelaySettings {
    return Object.fromEntries(this.#channels.map(({ name, port }) => [portFields[name], vsockServiceGuid(port)]));
  }

  /** The streams that the guest has not dialled, such as "stdout on port 1073741826". */
  get missing(): readonly string[] {
    return this.#channels
      .filter((channel) => channel.stream === undefined)
      .map(({ name, port }) => `${name} on port ${port}`);
  }

  /** Stops listening and closes what was accepted. Repeatable. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the process's stdio is closed"));
    for (const channel of this.#channels) channel.stream?.destroy();
    await Promise.allSettled(this.#channels.map((channel) => channel.listener.close()));
  }

  async #accept(channel: Channel): Promise<void> {
    const stream = await channel.listener.accept(this.#closing.signal);
    // Without a listener, a connection that breaks without a reader would end this program.
    stream.on("error", () => {});
    // The guest half-closes an output after its last writer, and does not report an exit before the host has closed it.
    if (channel.name !== "stdin") stream.once("end", () => stream.destroy());
    channel.stream = stream;
    if (this.#closing.signal.aborted) stream.destroy();
    await channel.listener.close();
  }

  #streams(): StdioStreams {
    return Object.fromEntries(this.#channels.map(({ name, stream }) => [name, stream]));
  }
}
