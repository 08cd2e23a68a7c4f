import { performance } from "node:perf_hooks";
import { addObserver, type Observer } from "@uvm-shim/lifecycle";
import { describeError } from "../errors.ts";
import type { Log } from "../platform.ts";
import type { Telemetry } from "./part.ts";

/** What is observed until telemetry is loaded, which takes some milliseconds; later ones are lost to it. */
const mostKept = 4096;

/** How long the end of the shim may wait for a collector. */
const stopMilliseconds = 500;

/**
 * Observes from the beginning, so that the first request has its trace, and tells it to telemetry once that is loaded,
 * when no client waits for the shim to answer its first call.
 */
export class TelemetryWatch {
  readonly #log: Log;
  readonly #remove: () => void;
  #kept: ((telemetry: Telemetry) => void)[] = [];
  #telemetry: Telemetry | undefined;
  #loading: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
    this.#remove = addObserver(this.#observer());
  }

  /** A failure is logged: a shim without telemetry is better than none. */
  async load(start: () => Promise<Telemetry>): Promise<void> {
    this.#loading ??= this.#load(start);
    await this.#loading;
  }

  async stop(): Promise<void> {
    await this.#loading;
    this.#remove();
    await this.#telemetry?.stop(stopMilliseconds);
  }

  async #load(start: () => Promise<Telemetry>): Promise<void> {
    try {
      const telemetry = await start();
      for (const tell of this.#kept) tell(telemetry);
      this.#telemetry = telemetry;
    } catch (error) {
      this.#remove();
      this.#log.log("warn", "cannot load telemetry", { error: describeError(error) });
    }
    this.#kept = [];
  }

  #observer(): Required<Observer> {
    return {
      began: (observation) => this.#tell((telemetry, at) => telemetry.began(observation, at)),
      ended: (observation, error) => this.#tell((telemetry, at) => telemetry.ended(observation, error, at)),
      stateChanged: (change, within) => this.#tell((telemetry, at) => telemetry.stateChanged(change, within, at)),
      occurred: (occurrence, within) => this.#tell((telemetry, at) => telemetry.occurred(occurrence, within, at)),
      traceContextOf: (observation) => this.#telemetry?.traceContextOf(observation),
    };
  }

  #tell(what: (telemetry: Telemetry, at: number) => void): void {
    const at = performance.timeOrigin + performance.now();
    if (this.#telemetry !== undefined) what(this.#telemetry, at);
    else if (this.#kept.length < mostKept) this.#kept.push((telemetry) => what(telemetry, at));
  }
}
