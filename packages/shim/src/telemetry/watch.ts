import { performance } from "node:perf_hooks";
import { type Attributes, addObserver, type Clock, type Observer } from "@uvm-shim/lifecycle";
import { describeError } from "../errors.ts";
import type { Log } from "../platform.ts";
import { EarlyTraces } from "./early-traces.ts";
import type { Telemetry, TelemetryVariables } from "./part.ts";

/** What is kept until telemetry is loaded: ten times what the start of a pod makes. What comes beyond is lost. */
const mostKept = 8192;

/** Loading takes tens of milliseconds, which are not to be those in which a client waits for its pod. */
const loadAfterMilliseconds = 2000;

/** How long the end of the shim may wait for a collector. */
const stopMilliseconds = 500;

/** What passes observations on to telemetry once it is loaded. */
export interface TelemetryWatchOptions {
  readonly variables: TelemetryVariables;
  readonly log: Log;
  readonly clock: Clock;
  /** Loads telemetry and starts it. */
  readonly start: () => Promise<Telemetry>;
}

/** Observes before telemetry is loaded, so that the first request has its trace, and tells it to telemetry once that is. */
export class TelemetryWatch {
  readonly #options: TelemetryWatchOptions;
  readonly #early: EarlyTraces;
  readonly #observers = new Set<() => void>();
  readonly #stopping = new AbortController();
  #kept: ((telemetry: Telemetry) => void)[] = [];
  #telemetry: Telemetry | undefined;
  #loading: Promise<void> | undefined;

  constructor(options: TelemetryWatchOptions) {
    this.#options = options;
    this.#early = new EarlyTraces(options.variables);
  }

  /**
   * Observes from now on what is done in the caller's scope. Returns a function that ends that.
   *
   * @param of what spans say of whose work they are, beside what the work says; under the names that collectors know.
   */
  observe(of?: Attributes): () => void {
    const remove = addObserver(this.#observer(of));
    this.#observers.add(remove);
    return () => {
      this.#observers.delete(remove);
      remove();
    };
  }

  /** Loads telemetry after a while. */
  begin(): void {
    this.#options.clock.delay(loadAfterMilliseconds, this.#stopping.signal).then(
      () => this.#loaded(),
      () => {},
    );
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loaded();
    this.#unobserve();
    await this.#telemetry?.stop(stopMilliseconds);
  }

  /** A failure is logged: a shim without telemetry is better than none. */
  #loaded(): Promise<void> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  async #load(): Promise<void> {
    try {
      const telemetry = await this.#options.start();
      for (const tell of this.#kept) tell(telemetry);
      this.#telemetry = telemetry;
    } catch (error) {
      this.#unobserve();
      this.#options.log.log("warn", "cannot load telemetry", { error: describeError(error) });
    }
    this.#kept = [];
  }

  #unobserve(): void {
    for (const remove of this.#observers) remove();
    this.#observers.clear();
  }

  #observer(of: Attributes | undefined): Required<Observer> {
    return {
      began: (observation) =>
        this.#tell((telemetry, at) => telemetry.began(observation, at, this.#early.spanIdOf(observation), of)),
      ended: (observation, error) => this.#tell((telemetry, at) => telemetry.ended(observation, error, at)),
      stateChanged: (change, within) => this.#tell((telemetry, at) => telemetry.stateChanged(change, within, at)),
      occurred: (occurrence, within) => this.#tell((telemetry, at) => telemetry.occurred(occurrence, within, at)),
      traceContextOf: (observation) => (this.#telemetry ?? this.#early).traceContextOf(observation),
    };
  }

  #tell(what: (telemetry: Telemetry, at: number) => void): void {
    const at = performance.timeOrigin + performance.now();
    if (this.#telemetry !== undefined) what(this.#telemetry, at);
    else if (this.#kept.length < mostKept) this.#kept.push((telemetry) => what(telemetry, at));
  }
}
