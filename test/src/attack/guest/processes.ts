/** Processes that are none: numbers that run until they are killed, with connections to the host's ports. */
import { once } from "node:events";
import type { Socket } from "node:net";
import type { GuestRequest } from "./requests.ts";

/** What the table asks of the guest whose processes it has. */
interface TellsHost {
  answer(request: GuestRequest, fields: object): void;
  refuse(request: GuestRequest, result: number): void;
  notify(fields: object): void;
}

export interface FakeProcess {
  readonly pid: number;
  readonly containerId: string;
  readonly isInit: boolean;
  readonly waiting: GuestRequest[];
  /** Those that the host has asked for, by the order in, out, error. */
  readonly streams: { readonly StdIn?: Socket; readonly StdOut?: Socket; readonly StdErr?: Socket };
  status: number | undefined;
  /** Whether the exit may be reported. */
  isOver: boolean;
}

const firstPid = 100;

export class ProcessTable {
  readonly #guest: TellsHost;
  readonly #all = new Map<number, FakeProcess>();
  readonly #programs = new Map<string, readonly string[]>();
  #nextPid = firstPid;

  constructor(guest: TellsHost) {
    this.#guest = guest;
  }

  /** Remembers what the init of a container is to run. */
  setProgram(containerId: string, args: readonly string[]): void {
    this.#programs.set(containerId, args);
  }

  /** The ids of those that were made, in order. */
  get containers(): readonly string[] {
    return [...this.#programs.keys()];
  }

  programOf(containerId: string): readonly string[] {
    return this.#programs.get(containerId) ?? [];
  }

  add(containerId: string, isInit: boolean, streams: FakeProcess["streams"]): FakeProcess {
    const process: FakeProcess = {
      ...{ pid: this.#nextPid, containerId, isInit, waiting: [], streams },
      ...{ status: undefined, isOver: false },
    };
    this.#nextPid += 1;
    this.#all.set(process.pid, process);
    return process;
  }

  get(pid: unknown): FakeProcess | undefined {
    return typeof pid === "number" ? this.#all.get(pid) : undefined;
  }

  alive(containerId: string): readonly FakeProcess[] {
    return [...this.#all.values()].filter((one) => one.containerId === containerId && one.status === undefined);
  }

  initOf(containerId: string): FakeProcess | undefined {
    return [...this.#all.values()].find((one) => one.containerId === containerId && one.isInit);
  }

  /** The process has gone; its exit is reported as the reference's guest does: once the host has closed its outputs. */
  async end(process: FakeProcess, status: number, notification = "UnexpectedExit"): Promise<void> {
    if (process.status !== undefined) return;
    process.status = status;
    const { StdIn, StdOut, StdErr } = process.streams;
    StdIn?.destroy();
    await Promise.all([StdOut, StdErr].map(closedByHost));
    this.reportExit(process);
    if (process.isInit) this.#guest.notify({ ContainerId: process.containerId, Type: notification });
  }

  reportExit(process: FakeProcess): void {
    process.isOver = true;
    for (const request of process.waiting.splice(0)) this.#guest.answer(request, { ExitCode: process.status });
  }

  wait(request: GuestRequest): void {
    const process = this.get(request.body.ProcessId);
    if (process === undefined) {
      this.#guest.refuse(request, notFound);
      return;
    }
    process.waiting.push(request);
    if (process.isOver) this.reportExit(process);
  }
}

/** HRESULT of ERROR_NOT_FOUND. */
export const notFound = 0x80070490 | 0;

async function closedByHost(socket: Socket | undefined): Promise<void> {
  if (socket === undefined || socket.destroyed) return;
  socket.end();
  socket.resume();
  if (!socket.destroyed) await once(socket, "close").catch(() => {});
}
