import { rm } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { containerd, type StateTree, uvmshim } from "@uvm-shim/shim/protocol";
import type { RecordLine } from "@uvm-shim/shim/record";
import { type Handlers, implement, TtrpcServer } from "@uvm-shim/ttrpc";

const { ShimDiag } = containerd.runhcs.v1.diag;
const { Inspect } = uvmshim.diagnostics.v1;

type Request = Parameters<NonNullable<Handlers<typeof ShimDiag>["DiagExecInHost"]>>[0];

export interface ServerOptions {
  readonly socket: string;
  readonly execInHost?: (request: Request, signal: AbortSignal) => Promise<number>;
  readonly share?: (request: { hostPath: string; uvmPath: string; readOnly: boolean }) => void;
  /** With one, the server also has the service that only our shims have. */
  readonly state?: StateTree;
  readonly lines?: RecordLine[];
  /** Numbers of lines that are not kept any more. */
  readonly lost?: { readonly from: number; readonly to: number };
  /** Never answers; called when it is asked. */
  readonly hangs?: () => void;
}

/** A server of the diagnostic services, in place of a shim. */
export class DiagServer {
  readonly #server: net.Server;
  readonly #ttrpc: TtrpcServer;
  readonly #sockets = new Set<net.Socket>();
  readonly #options: ServerOptions;
  #added = Promise.withResolvers<void>();

  private constructor(options: ServerOptions) {
    this.#options = options;
    const { state } = options;
    this.#ttrpc = new TtrpcServer({
      services: [
        implement(ShimDiag, {
          DiagPid: () => (options.hangs ? this.#hang() : Promise.resolve({ pid: 4121 })),
          DiagTasks: async ({ execs }) => ({
            tasks: [
              {
                id: "web",
                execs: execs
                  ? [
                      { id: "", state: "RUNNING" },
                      { id: "sh", state: "STOPPED" },
                    ]
                  : [],
              },
            ],
          }),
          DiagStacks: async () => ({ stacks: "shim: waits for \u001b[2Jnothing\n", guestStacks: "guest: main\n" }),
          DiagShare: async (request) => {
            options.share?.(request);
            return {};
          },
          DiagExecInHost: async (request, { signal }) => ({
            exitCode: (await options.execInHost?.(request, signal)) ?? 0,
          }),
        }),
        ...(state === undefined
          ? []
          : [
              implement(Inspect, {
                State: () => (options.hangs ? this.#hang() : Promise.resolve({ text: JSON.stringify(state) })),
                Dump: async () => ({ text: "dump\n" }),
                DumpVm: async () => ({ text: "{}" }),
                Events: (request) => this.#records(request, (line) => line.type !== "log"),
                Log: (request) => this.#records(request, (line) => line.type === "log"),
              }),
            ]),
      ],
    });
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
      void this.#ttrpc.serve(socket);
    });
  }

  static async listen(options: ServerOptions): Promise<DiagServer> {
    const server = new DiagServer(options);
    await new Promise<void>((resolve) => server.#server.listen(options.socket, resolve));
    return server;
  }

  /** How many clients are connected. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Adds a line to the record, which ends the waits for one. */
  add(line: RecordLine): void {
    this.#options.lines?.push(line);
    this.#added.resolve();
    this.#added = Promise.withResolvers();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#options.socket, { force: true });
  }

  #hang(): Promise<never> {
    this.#options.hangs?.();
    return new Promise(() => {});
  }

  async #records({ after, waitMs }: { after: number; waitMs: number }, isWanted: (line: RecordLine) => boolean) {
    const { from, to } = this.#options.lost ?? { from: 0, to: 0 };
    const isLost = (seq: number): boolean => seq >= from && seq <= to;
    const found = (): RecordLine[] =>
      (this.#options.lines ?? []).filter((line) => isWanted(line) && line.seq > after && !isLost(line.seq));
    if (this.#options.hangs) return await this.#hang();
    if (found().length === 0 && waitMs > 0) await this.#added.promise;
    // Two at a time, so that a client has to ask on.
    const lines = found().slice(0, 2);
    const last = lines.at(-1)?.seq ?? after;
    const lost = after < to && last >= to ? to - Math.max(from - 1, after) : 0;
    return { text: lines.map((line) => JSON.stringify(line)).join("\n"), last, lost };
  }
}

export function socketIn(folder: string, name = "shim.sock"): string {
  return path.join(folder, name);
}
