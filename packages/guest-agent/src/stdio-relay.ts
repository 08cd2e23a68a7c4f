/** Carries the stdio of one process between its pipes or its terminal and the host's ports. */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { GuestFault, type VsockStdioRelaySettings } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { pipe, TerminalStream } from "@uvm-shim/linux-calls";
import type { ChildStdio } from "./runtime.ts";

export type DialPort = (port: number, signal: AbortSignal) => Promise<Socket>;

type StreamName = "StdIn" | "StdOut" | "StdErr";
const streams = [
  ["StdIn", "CreateStdInPipe"],
  ["StdOut", "CreateStdOutPipe"],
  ["StdErr", "CreateStdErrPipe"],
] as const;

/** The agent's and the process's end of one pipe. */
interface PipeEnds {
  readonly agent: number;
  readonly process: number;
}

export class StdioRelay {
  readonly #sockets: ReadonlyMap<StreamName, Socket>;
  readonly #pipes = new Map<StreamName, PipeEnds>();
  #terminal: TerminalStream | undefined;

  private constructor(sockets: ReadonlyMap<StreamName, Socket>) {
    this.#sockets = sockets;
  }

  /** Dials the port of each stream that the parameters ask for. Throws a GuestFault naming the port that fails. */
  static async connect(
    parameters: LinuxProcessParameters,
    ports: VsockStdioRelaySettings,
    dial: DialPort,
    signal: AbortSignal,
  ): Promise<StdioRelay> {
    const wanted: [StreamName, number][] = [];
    for (const [name, flag] of streams) {
      if (!parameters[flag]) continue;
      const port = ports[name];
      if (port === undefined) {
        throw new GuestFault(
          "E_INVALIDARG",
          `Settings.VsockStdioRelaySettings.${name} is absent although ${flag} is true`,
        );
      }
      wanted.push([name, port]);
    }
    const dialled = await Promise.allSettled(wanted.map(([, port]) => dial(port, signal)));
    const sockets = new Map<StreamName, Socket>();
    const failures: unknown[] = [];
    for (const [index, result] of dialled.entries()) {
      const name = wanted[index]?.[0];
      if (result.status === "rejected") failures.push(result.reason);
      else if (name !== undefined) sockets.set(name, result.value);
    }
    const relay = new StdioRelay(sockets);
    if (failures.length === 0) return relay;
    relay.close();
    const [cause] = failures;
    throw new GuestFault("HCS_E_CONNECT_FAILED", cause instanceof Error ? cause.message : String(cause), { cause });
  }

  /** Makes the pipes; the descriptors are for the process, which inherits them. */
  openPipes(): ChildStdio {
    for (const name of this.#sockets.keys()) {
      const { readFd, writeFd } = pipe();
      this.#pipes.set(
        name,
        name === "StdIn" ? { agent: writeFd, process: readFd } : { agent: readFd, process: writeFd },
      );
    }
    const end = (name: StreamName): number | "ignore" => this.#pipes.get(name)?.process ?? "ignore";
    return [end("StdIn"), end("StdOut"), end("StdErr")];
  }

  /** Begins to carry, once the process has inherited its ends. */
  startPipes(): void {
    for (const [name, ends] of this.#pipes) {
      closeSync(ends.process);
      const socket = this.#sockets.get(name);
      if (socket === undefined) continue;
      if (name === "StdIn") carryIn(socket, new Socket({ fd: ends.agent, readable: false, writable: true }));
      else carryOut(new Socket({ fd: ends.agent, readable: true, writable: false }), socket);
    }
    this.#pipes.clear();
  }

  /** Begins to carry to and from the terminal of the process, and takes the descriptor over. */
  startTerminal(descriptor: number): void {
    const terminal = new TerminalStream(descriptor);
    this.#terminal = terminal;
    terminal.on("error", () => terminal.destroy());
    const output = this.#sockets.get("StdOut");
    if (output === undefined) terminal.resume();
    else carryOut(terminal, output);
    const input = this.#sockets.get("StdIn");
    if (input === undefined) return;
    terminal.on("close", () => input.destroy());
    input.on("error", () => input.destroy());
    // A terminal has no half that could be closed: the end of the host's input means nothing to it.
    input.pipe(terminal, { end: false });
  }

  /** Resizes the terminal. Without one, or when it has gone with its process, this does nothing. */
  resize(height: number, width: number): void {
    this.#terminal?.resize(height, width);
  }

  /** Gives up what has not begun: for a process that was not started. */
  close(): void {
    for (const ends of this.#pipes.values()) {
      closeSync(ends.agent);
      closeSync(ends.process);
    }
    this.#pipes.clear();
    for (const socket of this.#sockets.values()) socket.destroy();
    this.#terminal?.destroy();
  }
}

/** From the host to the process: the host's half-close ends the pipe; a process that does not read ends the connection. */
function carryIn(socket: Socket, sink: Socket): void {
  sink.on("error", () => sink.destroy());
  sink.on("close", () => socket.destroy());
  socket.on("error", () => sink.destroy());
  socket.pipe(sink);
}

/** From the process to the host, to its last byte; a host that closes makes the process's next write fail. */
function carryOut(source: Socket | TerminalStream, socket: Socket): void {
  source.on("error", () => source.destroy());
  source.on("close", () => socket.end());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => source.destroy());
  socket.on("end", () => {});
  socket.resume();
  source.pipe(socket, { end: false });
}
