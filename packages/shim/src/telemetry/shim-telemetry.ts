import type { Clock } from "@uvm-shim/lifecycle";
import type { ShimFlags } from "../program/flags.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import type { Services } from "../services/services.ts";
import type { ShimLog } from "../system/system.ts";
import type { Figures, Telemetry, TelemetryPart, TelemetryVariables } from "./part.ts";
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

const noFigures: ReturnType<Services["figures"]> = {
  ...{ pods: 0, vms: 0, containers: 0, processes: 0, pendingRequests: 0 },
  queued: { events: 0, bytes: 0 },
};

/** The telemetry of a serving process. */
export class ShimTelemetry {
  readonly stdio = new QueuedStdio();
  readonly #watch: TelemetryWatch;
  #services: Services | undefined;

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
    const { options, flags, log, clock } = surroundings;
    const start = async (): Promise<Telemetry> =>
      (await loadPart()).startTelemetry({
        variables,
        service: { name: options.name, version: options.version },
        resource: {
          "service.instance.id": `${flags.namespace}/${flags.id}`,
          "containerd.namespace": flags.namespace,
          "uvm_shim.sandbox.id": flags.id,
          "process.pid": process.pid,
        },
        log: (level, message, fields) => log.log(level, message, fields),
        clock,
        figures: () => this.#figures(log),
      });
    this.#watch = new TelemetryWatch({ variables, log, clock, start });
    this.#watch.observe();
  }

  /** Telemetry is loaded later, or when the shim ends. */
  begin(services: Services): void {
    this.#services = services;
    this.#watch.begin();
  }

  /** Sends what is left, within a bound. */
  async stop(): Promise<void> {
    await this.#watch.stop();
  }

  #figures(log: ShimLog): Figures {
    const { queued, ...figures } = this.#services?.figures() ?? noFigures;
    const queuedBytes = { stdio: this.stdio.bytes, log: log.queuedBytes, events: queued.bytes };
    return { ...figures, queuedEvents: queued.events, queuedBytes };
  }
}
