import type { Clock } from "@uvm-shim/lifecycle";
import type { ShimOptions } from "../program/shim-options.ts";
import type { Services } from "../services/services.ts";
import type { ShimLog } from "../system/system.ts";
import type { Figures, Telemetry, TelemetryPart, TelemetryVariables } from "./part.ts";
import { QueuedStdio } from "./queued-stdio.ts";
import { telemetryVariables } from "./variables.ts";
import { TelemetryWatch } from "./watch.ts";

interface Surroundings {
  readonly options: Pick<ShimOptions, "name" | "version" | "loadTelemetry">;
  readonly env: NodeJS.ProcessEnv;
  /** Where the sandboxer serves, by which it is told from others. */
  readonly socket: string;
  readonly log: ShimLog;
  readonly clock: Clock;
}

/** One pod, as telemetry sees it. */
export interface WatchedPod {
  /** Counts its stdio. */
  readonly stdio: QueuedStdio;
  /** From now on the figures of its services are part of the sums. */
  begin(services: Pick<Services, "figures">): void;
  /** Nothing of it is observed any more. Idempotent. */
  end(): void;
}

/** The telemetry of a process that serves many pods: traces name the pod that they are of, and gauges are sums over all pods. */
export class SandboxerTelemetry {
  readonly #watch: TelemetryWatch;
  readonly #pods = new Set<{ readonly stdio: QueuedStdio; services?: Pick<Services, "figures"> }>();

  /** Undefined unless the environment asks for it. */
  static wanted(surroundings: Surroundings): SandboxerTelemetry | undefined {
    const { loadTelemetry } = surroundings.options;
    const variables = loadTelemetry && telemetryVariables(surroundings.env);
    return loadTelemetry && variables && new SandboxerTelemetry(surroundings, variables, loadTelemetry);
  }

  private constructor(
    surroundings: Surroundings,
    variables: TelemetryVariables,
    loadPart: () => Promise<TelemetryPart>,
  ) {
    const { options, socket, log, clock } = surroundings;
    const start = async (): Promise<Telemetry> =>
      (await loadPart()).startTelemetry({
        variables,
        service: { name: options.name, version: options.version },
        resource: { "service.instance.id": socket, "process.pid": process.pid },
        log: (level, message, fields) => log.log(level, message, fields),
        clock,
        figures: () => this.#figures(log),
      });
    this.#watch = new TelemetryWatch({ variables, log, clock, start });
  }

  /** It is loaded after a while, or when the sandboxer ends. */
  begin(): void {
    this.#watch.begin();
  }

  /** Observes what is done in the caller's scope as that of a pod. */
  watchPod({ namespace, id }: { readonly namespace: string; readonly id: string }): WatchedPod {
    const pod: { readonly stdio: QueuedStdio; services?: Pick<Services, "figures"> } = { stdio: new QueuedStdio() };
    this.#pods.add(pod);
    const unobserve = this.#watch.observe({ "containerd.namespace": namespace, "uvm_shim.sandbox.id": id });
    return {
      stdio: pod.stdio,
      begin: (services) => {
        pod.services = services;
      },
      end: () => {
        this.#pods.delete(pod);
        unobserve();
      },
    };
  }

  /** Sends what is left, within a bound. */
  async stop(): Promise<void> {
    await this.#watch.stop();
  }

  #figures(log: ShimLog): Figures {
    const sums = { pods: 0, vms: 0, containers: 0, processes: 0, pendingRequests: 0, queuedEvents: 0 };
    const bytes = { stdio: 0, log: log.queuedBytes, events: 0 };
    for (const { stdio, services } of this.#pods) {
      bytes.stdio += stdio.bytes;
      if (services === undefined) continue;
      const { queued, ...figures } = services.figures();
      sums.pods += figures.pods;
      sums.vms += figures.vms;
      sums.containers += figures.containers;
      sums.processes += figures.processes;
      sums.pendingRequests += figures.pendingRequests;
      sums.queuedEvents += queued.events;
      bytes.events += queued.bytes;
    }
    return { ...sums, queuedBytes: bytes };
  }
}
