/** Carries the stdio of one process between its pipes or its terminal and the host's ports. */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { GuestFault, type VsockStdioRelaySettings } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { pipe, SplicedOutput, TerminalStream } from "@uvm-shim/linux-calls";
import { OutputCopy } from "./output-copy.ts";
import type { ChildStdio } from "./runtime.ts";

/** The descriptor of a connection to a port of the host, which does not block and is the caller's. */
export type DialPort = (port: number, signal: AbortSignal) => Promise<number>;

type StreamName = "StdIn" | "StdOut" | "StdErr";
const streams = [
  ["StdIn", "CreateStdInPipe"],
  ["StdOut", "CreateStdOutPipe"],
  ["StdErr", "CreateStdErrPipe"],
] as const;

/** The agent's ends of the pipes that a process was made with. */
export type AgentEnds = { readonly [Name in StreamName]: number };

/** The agent's and the process's end of one pipe. */
interface PipeEnds {
  readonly agent: number;
  readonly process: number;
}

/** How long the last output of a process that has ended may take to be handed on, before the exit is told. */
const lastOutputMs = 2000;
/** What a terminal holds is read at once; only whoever still has it open keeps it from ending. */
const lastTerminalOutputMs = 50;

export class StdioRelay {
  /** Connections that nothing carries to or from yet. */
  readonly #connections: Map<StreamName, number>;
  readonly #pipes = new Map<StreamName, PipeEnds>();
  readonly #outputs: SplicedOutput[] = [];
  #terminal: TerminalStream | undefined;
  #copy: OutputCopy | undefined;

  private constructor(connections: Map<StreamName, number>) {
    this.#connections = connections;
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
    const connections = new Map<StreamName, number>();
    const failures: unknown[] = [];
    for (const [index, result] of dialled.entries()) {
      const name = wanted[index]?.[0];
      if (result.status === "rejected") failures.push(result.reason);
      else if (name !== undefined) connections.set(name, result.value);
    }
    const relay = new StdioRelay(connections);
    if (failures.length === 0) return relay;
    relay.close();
    const [cause] = failures;
    throw new GuestFault("HCS_E_CONNECT_FAILED", cause instanceof Error ? cause.message : String(cause), { cause });
  }

  /** To be asked for before anything is carried: what the process writes is appended to a file of the guest, too. */
  copyOutputTo(path: string): void {
    this.#copy = new OutputCopy(path);
  }

  /** Makes the pipes; the descriptors are for the process, which inherits them. */
  openPipes(): ChildStdio {
    for (const name of this.#connections.keys()) {
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
      this.#carry(name, ends.agent);
    }
    this.#pipes.clear();
  }

  /** Begins to carry to and from a process that was made with pipes before; what nobody asked for is closed. */
  startHeldPipes(agentEnds: AgentEnds): void {
    for (const [name] of streams) this.#carry(name, agentEnds[name]);
  }

  #carry(name: StreamName, agentEnd: number): void {
    const connection = this.#take(name);
    if (connection === undefined) closeSync(agentEnd);
    else if (name === "StdIn")
      carryIn(socketOf(connection), new Socket({ fd: agentEnd, readable: false, writable: true }));
    else if (this.#copy === undefined) this.#outputs.push(new SplicedOutput(agentEnd, connection));
    else {
      const source = new Socket({ fd: agentEnd, readable: true, writable: false });
      this.#copy.follow(source);
      carryOut(source, socketOf(connection));
    }
  }

  /** Begins to carry to and from the terminal of the process, and takes the descriptor over. */
  startTerminal(descriptor: number): void {
    const terminal = new TerminalStream(descriptor);
    this.#terminal = terminal;
    terminal.on("error", () => terminal.destroy());
    this.#copy?.follow(terminal);
    const output = this.#take("StdOut");
    if (output === undefined) terminal.resume();
    else carryOut(terminal, socketOf(output));
    const connection = this.#take("StdIn");
    if (connection === undefined) return;
    const input = socketOf(connection);
    terminal.on("close", () => input.destroy());
    input.on("error", () => input.destroy());
    // A terminal has no half that could be closed: the end of the host's input means nothing to it.
    input.pipe(terminal, { end: false });
  }

  /** Resizes the terminal. Without one, or when it has gone with its process, this does nothing. */
  resize(height: number, width: number): void {
    this.#terminal?.resize(height, width);
  }

  /**
   * Resolves when what the process has written up to its end is on its way to the host, or does not get on. What else
   * holds its output open is not waited for.
   */
  async handedOn(): Promise<void> {
    const terminal = this.#terminal;
    if (terminal !== undefined) await within(lastTerminalOutputMs, ended(terminal));
    else await within(lastOutputMs, Promise.all(this.#outputs.map((output) => output.emptied())));
  }

  /** Gives up what has not begun: for a process that was not started. */
  close(): void {
    for (const ends of this.#pipes.values()) {
      closeSync(ends.agent);
      closeSync(ends.process);
    }
    this.#pipes.clear();
    for (const connection of this.#connections.values()) closeSync(connection);
    this.#connections.clear();
    for (const output of this.#outputs) output.close();
    this.#terminal?.destroy();
    this.#copy?.close();
  }

  #take(name: StreamName): number | undefined {
    const connection = this.#connections.get(name);
    this.#connections.delete(name);
    return connection;
  }
}

function socketOf(connection: number): Socket {
  return new Socket({ fd: connection, readable: true, writable: true, allowHalfOpen: true });
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

function ended(terminal: TerminalStream): Promise<void> {
  return new Promise((resolve) => {
    if (terminal.closed) resolve();
    else terminal.once("close", resolve);
  });
}

async function within(milliseconds: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([done, late]);
  clearTimeout(timer);
}
