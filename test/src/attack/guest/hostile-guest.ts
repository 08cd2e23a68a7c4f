/** A guest that speaks the bridge's protocol, runs nothing, and does as a mode of the attack wants it to. */
import { appendFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { type Procedure, procedureOfRequest, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { hostPortPath } from "@uvm-shim/host-protocol";
import { hvsocketBaseName } from "@uvm-shim/host-protocol/guest";
import {
  containerNotificationType,
  encodeFrame,
  type Frame,
  FrameDecoder,
  responseTypeOf,
} from "../../../../packages/gcs-bridge/src/wire.ts";
import { ordinaryReactions } from "./ordinary.ts";
import { ProcessTable } from "./processes.ts";
import { type GuestRequest, isVictim, type Reaction } from "./requests.ts";

export interface HostileGuestOptions {
  /** Where the host's sockets are. */
  readonly sockets: string;
  /** A line is appended for each deed, so that the harness knows that the attack took place. */
  readonly deeds: string;
  /** How long a flood lasts. */
  readonly floodMs: number;
  /** Gives reproducible numbers from 0 to 1. */
  readonly random: () => number;
}

export class HostileGuest {
  readonly options: HostileGuestOptions;
  readonly processes: ProcessTable;
  /** What the mode does in place of the ordinary; about the victim, or about everything. */
  readonly #ofVictim = new Map<Procedure, Reaction>();
  readonly #ofAnything = new Map<Procedure, Reaction>();
  readonly #ordinary: { readonly [P in Procedure]: Reaction };
  readonly #afterBoot: (() => unknown)[] = [];
  readonly #afterVictimRuns: (() => unknown)[] = [];
  bridge: Socket | undefined;
  log: Socket | undefined;
  /** Of the last request. */
  lastId = 0n;

  constructor(options: HostileGuestOptions) {
    this.options = options;
    this.processes = new ProcessTable(this);
    this.#ordinary = ordinaryReactions(this);
  }

  /** Has the guest react so to what it is asked about the victim. */
  onVictim(procedure: Procedure, reaction: Reaction): void {
    this.#ofVictim.set(procedure, reaction);
  }

  /** Has the guest react so when the victim is to be killed. */
  onVictimKilled(reaction: Reaction): void {
    for (const procedure of ["signalProcess", "shutdownForced"] as const) this.onVictim(procedure, reaction);
  }

  /** Has the guest react so to a request, whatever it is about. */
  onAnything(procedure: Procedure, reaction: Reaction): void {
    this.#ofAnything.set(procedure, reaction);
  }

  afterBoot(work: () => unknown): void {
    this.#afterBoot.push(work);
  }

  /** The victim's init was started, and that has been answered. */
  afterVictimRuns(work: () => unknown): void {
    this.#afterVictimRuns.push(work);
  }

  victimRuns(): void {
    for (const work of this.#afterVictimRuns) setImmediate(work);
  }

  booted(): void {
    for (const work of this.#afterBoot) setImmediate(work);
  }

  struck(what: string): void {
    appendFileSync(this.options.deeds, `${what}\n`);
  }

  react(request: GuestRequest): void {
    const { procedure } = request;
    if (procedure === undefined) return;
    const ofVictim = isVictim(request.containerId) ? this.#ofVictim.get(procedure) : undefined;
    const reaction = ofVictim ?? this.#ofAnything.get(procedure);
    if (reaction === undefined) this.#ordinary[procedure](request);
    else {
      reaction(request);
      this.struck(`${procedure} ${request.containerId}`);
    }
  }

  ordinarily(request: GuestRequest): void {
    if (request.procedure !== undefined) this.#ordinary[request.procedure](request);
  }

  answer(request: Pick<GuestRequest, "type" | "id">, fields: object = {}): void {
    this.answerText(request, JSON.stringify({ Result: 0, ActivityId: uvmContainerId, ...fields }));
  }

  answerText({ type, id }: Pick<GuestRequest, "type" | "id">, text: string): void {
    this.send(responseTypeOf(type), id, text);
  }

  /** Answers a question for figures, or pids. */
  answerProperties(request: GuestRequest, properties: unknown): void {
    this.answer(request, { Properties: typeof properties === "string" ? properties : JSON.stringify(properties) });
  }

  refuse(request: GuestRequest, Result: number, fields: object = {}): void {
    this.answer(request, { Result, ErrorMessage: "no", ...fields });
  }

  notify(fields: object): void {
    this.send(containerNotificationType, 0n, JSON.stringify({ Operation: "None", Result: 0, ...fields }));
  }

  send(type: number, id: bigint, text: string): void {
    this.raw(encodeFrame({ type, id, body: Buffer.from(text) }));
  }

  raw(bytes: Uint8Array): void {
    this.bridge?.write(bytes);
  }

  /** Writes for as long as a flood lasts, and no faster than the host takes it; the guest goes on answering meanwhile. */
  async flood(socket: Socket | undefined, chunk: (number: number) => Uint8Array | string): Promise<void> {
    if (socket === undefined) return;
    const end = performance.now() + this.options.floodMs;
    // The host may stop to take it, and then its end is not seen.
    this.struck("flood begins");
    let written = 0;
    for (; performance.now() < end && !socket.destroyed && socket.writable; written += 1) {
      if (!socket.write(chunk(written))) await drained(socket);
      if (written % 16 === 0) await turn();
    }
    this.struck(`flood of ${written}`);
  }

  dial(port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({
        path: hostPortPath(`${this.options.sockets}/${hvsocketBaseName}`, port),
        allowHalfOpen: true,
      });
      socket.once("connect", () => {
        socket.off("error", reject).on("error", () => socket.destroy());
        resolve(socket);
      });
      socket.once("error", reject);
    });
  }

  async dialBridge(): Promise<void> {
    const socket = await this.dial(linuxVsockPorts.gcs);
    this.bridge = socket;
    const decoder = new FrameDecoder(16 * 1024 * 1024);
    socket.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) this.#take(frame);
    });
    socket.on("end", () => socket.destroy());
  }

  #take({ type, id, body }: Frame): void {
    const fields = JSON.parse(body.toString("utf8")) as { readonly [field: string]: unknown };
    const containerId = typeof fields.ContainerId === "string" ? fields.ContainerId : "";
    this.lastId = id;
    this.react({ procedure: procedureOfRequest(type), type, id, containerId, body: fields });
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.once("drain", done).once("close", done);
  });
}
