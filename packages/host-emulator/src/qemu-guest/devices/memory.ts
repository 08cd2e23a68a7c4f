import { abortable, type Clock, messageOf, withDeadline } from "@uvm-shim/lifecycle";
import { HcsFailure } from "../../hcs-failure.ts";
import { fieldsOf, type QmpClient } from "../qmp/qmp-client.ts";

/** The id of the device that grows a machine's memory. */
export const growingMemory = "memory";

const mebibyte = 2 ** 20;
const pollMs = 50;

/** Memory of a machine, in MiB. */
export interface MemoryRange {
  /** What it boots with. */
  readonly bootMb: number;
  /** What it may grow to. */
  readonly mostMb: number;
}

/** What a machine is given and what it has, in MiB: up to what it booted with by its balloon, beyond that by virtio-mem. */
interface Sizes {
  readonly base: number;
  readonly beyond: number;
}

/** How long the guest has to give or take memory. */
export interface MemoryPatience {
  readonly clock: Clock;
  readonly resizeTimeoutMs: number;
}

/**
 * The memory of a running machine. virtio-mem adds it in blocks of 2 MiB, gives them back, and says how much the guest has
 * taken, where a DIMM can only be taken back as a whole. What the machine booted with is not its own, so below that size a
 * balloon takes pages from the guest.
 */
export class QemuMemory {
  readonly #client: QmpClient;
  readonly #range: MemoryRange;
  readonly #patience: MemoryPatience;
  readonly #report: (message: string) => void;
  #sizeMb: number;

  constructor(client: QmpClient, range: MemoryRange, patience: MemoryPatience, report: (message: string) => void) {
    this.#client = client;
    this.#range = range;
    this.#patience = patience;
    this.#report = report;
    this.#sizeMb = range.bootMb;
  }

  get sizeMb(): number {
    return this.#sizeMb;
  }

  /** Resolves when the guest has this much. After a failure it is told its former size again. */
  async resize(sizeMb: number): Promise<void> {
    const { mostMb } = this.#range;
    if (sizeMb > mostMb) {
      throw new HcsFailure("E_OUTOFMEMORY", `memory of ${sizeMb} MiB: the machine was made for at most ${mostMb} MiB`);
    }
    try {
      await this.#apply(sizeMb);
    } catch (error) {
      if (this.#client.isAlive) await this.#request(this.#sizeMb).catch((undo: unknown) => this.#reportUndo(undo));
      throw error;
    }
    this.#sizeMb = sizeMb;
  }

  async #apply(sizeMb: number): Promise<void> {
    await this.#request(sizeMb);
    const { clock, resizeTimeoutMs: milliseconds } = this.#patience;
    let seen: Sizes | undefined;
    const error = (): Error => {
      const has = seen === undefined ? "" : `; it has ${seen.base + seen.beyond} MiB`;
      return new HcsFailure(
        "E_OUTOFMEMORY",
        `the guest did not change its memory to ${sizeMb} MiB within ${milliseconds} ms${has}`,
      );
    };
    const goal = this.#split(sizeMb);
    await withDeadline(
      async (until) => {
        for (;;) {
          seen = await abortable(this.#actual(), until);
          if (seen.base === goal.base && seen.beyond === goal.beyond) return;
          await clock.delay(pollMs, until);
        }
      },
      { clock, milliseconds, error },
    );
  }

  #split(sizeMb: number): Sizes {
    const base = Math.min(sizeMb, this.#range.bootMb);
    return { base, beyond: sizeMb - base };
  }

  async #request(sizeMb: number): Promise<void> {
    const { base, beyond } = this.#split(sizeMb);
    if (this.#range.mostMb > this.#range.bootMb) {
      const path = `/machine/peripheral/${growingMemory}`;
      await this.#client.execute("qom-set", { path, property: "requested-size", value: beyond * mebibyte });
    }
    await this.#client.execute("balloon", { value: base * mebibyte });
  }

  async #actual(): Promise<Sizes> {
    const balloon = fieldsOf(await this.#client.execute("query-balloon"))?.actual;
    const devices = await this.#client.execute("query-memory-devices");
    const found = (Array.isArray(devices) ? devices : [])
      .map((device) => fieldsOf(fieldsOf(device)?.data))
      .find((data) => data?.id === growingMemory);
    return { base: mebibytes(balloon), beyond: found === undefined ? 0 : mebibytes(found.size) };
  }

  #reportUndo(error: unknown): void {
    this.#report(`memory: the former size could not be asked for: ${messageOf(error)}`);
  }
}

function mebibytes(value: unknown): number {
  if (typeof value === "number") return value / mebibyte;
  throw new HcsFailure("HCS_E_PROTOCOL_ERROR", `QEMU answered with a size of ${JSON.stringify(value)}`);
}
