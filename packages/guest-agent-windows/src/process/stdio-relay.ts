/** The streams of a Windows program, between its starter and hvsocket services of the host. */
import type { Socket } from "node:net";
import { GuestFault, type StdioRelaySettings } from "@uvm-shim/gcs-bridge";
import { messageOf } from "@uvm-shim/lifecycle";
import type { ProgramStart } from "../container/frames.ts";
import type { WindowsProgram } from "../container/program.ts";

/** Dials a service of the host. */
export type DialService = (service: string, signal: AbortSignal) => Promise<Socket>;

const streams = [
  ["StdIn", "hasInput", "CreateStdInPipe"],
  ["StdOut", "hasOutput", "CreateStdOutPipe"],
  ["StdErr", "hasError", "CreateStdErrPipe"],
] as const;
type StreamName = (typeof streams)[number][0];

export class StdioRelay {
  readonly #sockets: ReadonlyMap<StreamName, Socket>;

  private constructor(sockets: ReadonlyMap<StreamName, Socket>) {
    this.#sockets = sockets;
  }

  /** Dials the service of each stream that the program has. Throws a GuestFault naming the one that fails. */
  static async connect(
    start: ProgramStart,
    services: StdioRelaySettings,
    dial: DialService,
    signal: AbortSignal,
  ): Promise<StdioRelay> {
    const sockets = new Map<StreamName, Socket>();
    const relay = new StdioRelay(sockets);
    try {
      for (const [name, flag, parameter] of streams) {
        if (!start[flag]) continue;
        const service = services[name];
        if (service === undefined) {
          const why = `expected a service, since ${parameter} is true`;
          throw new GuestFault("E_INVALIDARG", `Settings.StdioRelaySettings.${name} is absent: ${why}`);
        }
        const socket = await dial(service, signal);
        socket.on("error", () => socket.destroy());
        sockets.set(name, socket);
      }
      return relay;
    } catch (error) {
      relay.close();
      if (error instanceof GuestFault) throw error;
      throw new GuestFault("HCS_E_CONNECT_FAILED", messageOf(error), { cause: error });
    }
  }

  /** Carries until all outputs have ended; resolves then. What the host no longer takes is dropped. */
  async carry(program: WindowsProgram): Promise<void> {
    const input = this.#sockets.get("StdIn");
    input?.pipe(program.stdin);
    program.stdin.on("error", () => input?.unpipe(program.stdin).resume());
    const outputs = [
      [program.stdout, this.#sockets.get("StdOut")],
      [program.stderr, this.#sockets.get("StdErr")],
    ] as const;
    await Promise.all(
      outputs.map(
        ([output, socket]) =>
          new Promise<void>((resolve) => {
            output.once("close", resolve);
            if (output.closed) resolve();
            if (socket === undefined) {
              output.resume();
              return;
            }
            // The host sends nothing on an output, but its end must be read.
            socket.resume().once("close", () => output.unpipe(socket).resume());
            output.pipe(socket);
          }),
      ),
    );
    // Ended outputs are closed by the host.
    input?.destroy();
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}
