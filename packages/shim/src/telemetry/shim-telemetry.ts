import type { Clock } from "@uvm-shim/lifecycle";
import type { ShimFlags } from "../program/flags.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import type { Services } from "../services/services.ts";
import type { ShimLog } from "../system/system.ts";
import type { TelemetryPart, TelemetryVariables } from "./part.ts";
import { QueuedStdio } from "./queued-stdio.ts";
import { telemetryVariables } from "./variables.ts";
import { TelemetryWatch } from "./watch.ts";

interface Surroundings {
  readonly options: Pick<ShimOptions, "name" | "version" | "loadTelemetry">;
  readonly flags: Pick<ShimFlags, "namespace" | "id">;
  readonly env: NodeJS.ProcessEnv;
  readonly log: ShimLog;
  readonly clock: Clock;
}

/** The telemetry of a serving process. */
export class ShimTelemetry {
  readonly stdio = new QueuedStdio();
  readonly #surroundings: Surroundings;
  readonly #variables: TelemetryVariables;
  readonly #loadPart: () => Promise<TelemetryPart>;
  readonly #watch: TelemetryWatch;

  /** Undefined unless the environment asks for it. Observes from now on. */
  static wanted(surroundings: Surroundings): ShimTelemetry | undefined {
    const { loadTelemetry } = surroundings.options;
    const variables = loadTelemetry && telemetryVariables(surroundings.env);
    return loadTelemetry && variables && new ShimTelemetry(surroundings, variables, loadTelemetry);
  }

  private constructor(
    surroundings: Surroundings,
    variables: TelemetryVariables,
    loadPart: () => Promise<TelemetryPart>,
  ) {
    this.#surroundings = surroundings;
    this.#variables = variables;
    this.#loadPart = loadPart;
    this.#watch = new TelemetryWatch(surroundings.log);
  }

  async load(services: Services): Promise<void> {
    const { options, flags, log, clock } = this.#surroundings;
    await this.#watch.load(async () =>
      (await this.#loadPart()).startTelemetry({
        variables: this.#variables,
        service: { name: options.name, version: options.version },
        resource: {
          "service.instance.id": `${flags.namespace}/${flags.id}`,
          "containerd.namespace": flags.namespace,
          "uvm_shim.sandbox.id": flags.id,
          "process.pid": process.pid,
        },
        log: (level, message, fields) => log.log(level, message, fields),
        clock,
        figures: () => {
          const { queued, ...figures } = services.figures();
          const queuedBytes = { stdio: this.stdio.bytes, log: log.queuedBytes, events: queued.bytes };
          return { ...figures, queuedEvents: queued.events, queuedBytes };
        },
      }),
    );
  }

  /** Sends what is left, within a bound. */
  async stop(): Promise<void> {
    await this.#watch.stop();
  }
}
