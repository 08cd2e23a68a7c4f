/** The stdio of one process, between its pipes or its terminal and the host's ports. */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { GuestFault, type VsockStdioRelaySettings } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { delay, messageOf } from "@uvm-shim/lifecycle";
import { letBlock, pipes, TerminalStream } from "@uvm-shim/linux-calls";
import type { ChildStdio } from "../container/runtime.ts";
import { OutputCopy, type OutputCopyPlace } from "./output-copy.ts";
import { type Output, PipeOutput, type Redial, StreamOutput, socketOf } from "./outputs.ts";

/** Returns the descriptor of a connection to a port of the host, which does not block. The caller owns it. */
export type DialPort = (port: number, signal: AbortSignal) => Promise<number>;

type StreamName = "StdIn" | "StdOut" | "StdErr";
const streams = [
  ["StdIn", "CreateStdInPipe"],
  ["StdOut", "CreateStdOutPipe"],
  ["StdErr", "CreateStdErrPipe"],
] as const;

/** The agent's ends of a process's pipes. */
export type AgentEnds = { readonly [Name in StreamName]: number };

/** The agent's and the process's end of one pipe. */
interface PipeEnds {
  readonly agent: number;
  readonly process: number;
}

/** Pause between attempts to dial a host that has closed an output too early. */
const redialPauseMs = 100;

/** As in the real guest, an output is half-closed after its last writer, and then waits for the host to close it. */
export class StdioRelay {
  readonly #dial: DialPort;
  readonly #ports: VsockStdioRelaySettings;
  /** Connections that are not in use yet. */
  readonly #connections: Map<StreamName, number>;
  readonly #pipes = new Map<StreamName, PipeEnds>();
  readonly #outputs: Output[] = [];
  readonly #redialling = new AbortController();
  #input: { readonly connection: Socket; readonly sink: Socket | TerminalStream } | undefined;
  #terminal: TerminalStream | undefined;
  #copy: OutputCopy | undefined;
  #keepsOutputs = false;

  private constructor(dial: DialPort, ports: VsockStdioRelaySettings, connections: Map<StreamName, number>) {
    this.#dial = dial;
    this.#ports = ports;
    this.#connections = connections;
  }

  /** Dials the port of each requested stream. Throws a GuestFault naming the port that fails. */
  static async connect(
    parameters: LinuxProcessParameters,
    ports: VsockStdioRelaySettings,
    dial: DialPort,
    signal: AbortSignal,
  ): Promise<StdioRelay> {
    const requested: [StreamName, number][] = [];
    for (const [name, flag] of streams) {
      if (!parameters[flag]) continue;
      const port = ports[name];
      if (port === undefined) {
        throw new GuestFault(
          "E_INVALIDARG",
          `Settings.VsockStdioRelaySettings.${name} is absent: expected a port, since ${flag} is true`,
        );
      }
      requested.push([name, port]);
    }
    const dialled = await Promise.allSettled(requested.map(([, port]) => dial(port, signal)));
    const connections = new Map<StreamName, number>();
    const failures: unknown[] = [];
    for (const [index, result] of dialled.entries()) {
      const name = requested[index]?.[0];
      if (result.status === "rejected") failures.push(result.reason);
      else if (name !== undefined) connections.set(name, result.value);
    }
    const relay = new StdioRelay(dial, ports, connections);
    if (failures.length === 0) return relay;
    relay.close();
    const [cause] = failures;
    throw new GuestFault("HCS_E_CONNECT_FAILED", messageOf(cause), { cause });
  }

  /** Must be called before the start: appends a copy of the output to a file of the guest. */
  copyOutputTo(place: OutputCopyPlace): void {
    this.#copy = new OutputCopy(place);
  }

  /** Must be called before the start: redials an output that the host closes too early. */
  keepOutputs(): void {
    this.#keepsOutputs = true;
  }

  /** From now on, outputs that the host closes stay closed. */
  stopKeepingOutputs(): void {
    this.#redialling.abort();
  }

  /** The connections themselves, for a process to inherit. To be followed by `close`. */
  handOver(): ChildStdio {
    const end = (name: StreamName): number | "ignore" => {
      const connection = this.#connections.get(name);
      if (connection !== undefined) letBlock(connection);
      return connection ?? "ignore";
    };
    return [end("StdIn"), end("StdOut"), end("StdErr")];
  }

  /** Makes the pipes, and returns the ends for the process to inherit. */
  openPipes(): ChildStdio {
    const names = [...this.#connections.keys()];
    for (const [index, { readFd, writeFd }] of pipes(names.length).entries()) {
      const name = names[index] as StreamName;
      this.#pipes.set(
        name,
        name === "StdIn" ? { agent: writeFd, process: readFd } : { agent: readFd, process: writeFd },
      );
    }
    const end = (name: StreamName): number | "ignore" => this.#pipes.get(name)?.process ?? "ignore";
    return [end("StdIn"), end("StdOut"), end("StdErr")];
  }

  /** Must be called after the process has inherited its ends. */
  startPipes(): void {
    for (const [name, ends] of this.#pipes) {
      closeSync(ends.process);
      this.#carry(name, ends.agent);
    }
    this.#pipes.clear();
  }

  /** For a process that already has its pipes; those without a connection are closed. */
  startHeldPipes(agentEnds: AgentEnds): void {
    for (const [name] of streams) this.#carry(name, agentEnds[name]);
  }

  #carry(name: StreamName, agentEnd: number): void {
    const connection = this.#take(name);
    if (connection === undefined) closeSync(agentEnd);
    else if (name === "StdIn") {
      this.#carryIn(connection, new Socket({ fd: agentEnd, readable: false, writable: true }));
    } else if (this.#copy === undefined) {
      this.#outputs.push(new PipeOutput(agentEnd, connection, this.#redialOf(name)));
    } else {
      const source = new Socket({ fd: agentEnd, readable: true, writable: false });
      this.#copy.follow(source);
      this.#outputs.push(new StreamOutput(source, connection, { isClosedByHost: true, redial: this.#redialOf(name) }));
    }
  }

  /** Takes ownership of the terminal's descriptor. */
  startTerminal(descriptor: number): void {
    const terminal = new TerminalStream(descriptor);
    this.#terminal = terminal;
    terminal.on("error", () => terminal.destroy());
    this.#copy?.follow(terminal);
    const output = this.#take("StdOut");
    if (output !== undefined) {
      const redial = this.#redialOf("StdOut");
      this.#outputs.push(new StreamOutput(terminal, output, { isClosedByHost: false, redial }));
    }
    const input = this.#take("StdIn");
    if (input !== undefined) this.#carryIn(input, terminal);
  }

  /** Throws a GuestFault for a process without a terminal. */
  resize(height: number, width: number): void {
    if (this.#terminal === undefined) throw new GuestFault("E_FAIL", "cannot resize: the process has no terminal");
    this.#terminal.resize(height, width);
  }

  /**
   * Must be called when the process has ended. Resolves when its outputs have ended and all ends are closed. An output ends
   * only once the host and every process that holds it have closed it.
   */
  async finish(): Promise<void> {
    const input = this.#input;
    if (input !== undefined) input.connection.unpipe().pause();
    await Promise.all(this.#outputs.map((output) => output.ended));
    this.close();
  }

  /** Repeatable. */
  close(): void {
    this.stopKeepingOutputs();
    for (const ends of this.#pipes.values()) {
      closeSync(ends.agent);
      closeSync(ends.process);
    }
    this.#pipes.clear();
    for (const connection of this.#connections.values()) closeSync(connection);
    this.#connections.clear();
    for (const output of this.#outputs) output.close();
    this.#input?.sink.destroy();
    this.#input?.connection.destroy();
    this.#terminal?.destroy();
    this.#copy?.close();
  }

  #take(name: StreamName): number | undefined {
    const connection = this.#connections.get(name);
    this.#connections.delete(name);
    return connection;
  }

  /**
   * The host's half-close ends a pipe, but not a terminal, which cannot be half-closed. When the process stops reading, the
   * connection stays open, and unread, until its exit.
   */
  #carryIn(descriptor: number, sink: Socket | TerminalStream): void {
    const connection = socketOf(descriptor);
    this.#input = { connection, sink };
    sink.on("error", () => sink.destroy());
    sink.on("close", () => connection.unpipe(sink).pause());
    connection.on("error", () => connection.destroy());
    connection.pipe(sink, { end: sink instanceof Socket });
  }

  #redialOf(name: StreamName): Redial | undefined {
    const port = this.#ports[name];
    if (!this.#keepsOutputs || port === undefined) return undefined;
    const { signal } = this.#redialling;
    return async () => {
      while (!signal.aborted) {
        try {
          return await this.#dial(port, signal);
        } catch {
          await delay(redialPauseMs, signal).catch(() => {});
        }
      }
      return undefined;
    };
  }
}
