import type { Clock } from "@uvm-shim/lifecycle";
import type { TtrpcServer } from "@uvm-shim/ttrpc";
import { platformContext } from "../program/platform-context.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { connectEvents } from "../services/events/events-ttrpc.ts";
import type { StateLine } from "../services/state-dump.ts";
import { configuredSocketDirectory } from "../system/socket.ts";
import type { ShimLog, ShimSystem } from "../system/system.ts";
import type { SandboxerTelemetry } from "../telemetry/sandboxer-telemetry.ts";
import { controlServer, type HandedPod } from "./control-service.ts";
import { type ControllerHandlers, controllerHandlers, type NewPod } from "./controller-service.ts";
import { HostedPod } from "./hosted-pod.ts";
import { lostPodOf } from "./lost-pods.ts";
import { type PodName, PodRegistry } from "./registry.ts";
import type { SandboxerSettings } from "./settings.ts";
import { bundleIn, leftBundles } from "./state-folder.ts";

/** What a sandboxer is made from. */
export interface SandboxerOptions {
  readonly settings: Pick<SandboxerSettings, "containerd" | "state" | "level">;
  readonly options: ShimOptions;
  readonly nodeProcess: NodeJS.Process;
  readonly clock: Clock;
  readonly system: ShimSystem;
  /** The process that serves. */
  readonly identity: { readonly pid: number; readonly processStartTime: string };
  /** Where `start` and `delete` reach it. */
  readonly control: string;
  readonly log: ShimLog;
  readonly logOf: (pod: PodName, level: "info" | "debug") => ShimLog;
  /** Absent where nobody wants to know. */
  readonly telemetry?: SandboxerTelemetry | undefined;
}

/** All pods of one process, and the two services by which they come and go. */
export class Sandboxer {
  /** containerd's calls. */
  readonly controller: ControllerHandlers;
  /** Serves `start` and `delete`. */
  readonly control: TtrpcServer;
  readonly #options: SandboxerOptions;
  readonly #registry: PodRegistry<HostedPod>;

  constructor(options: SandboxerOptions) {
    this.#options = options;
    const { log, identity, system } = options;
    const { flavour } = options.options;
    this.#registry = new PodRegistry(log);
    const registry = this.#registry;
    this.controller = controllerHandlers({
      registry,
      os: flavour === "lcow" ? "linux" : "windows",
      makePod: (pod) => this.#makeOwnPod(pod),
      bundleOf: (name) => this.#bundleOf(name),
      addressOf: (pod) => `ttrpc+${system.address(pod.socket)}`,
    });
    const makePod = (pod: HandedPod): HostedPod => this.#makeHandedPod(pod);
    this.control = controlServer({
      ...{ registry, flavour, pid: identity.pid, makePod, log },
      host: options.nodeProcess.env.UVM_SHIM_HOST ?? "",
    });
  }

  /** How many pods are served. */
  get size(): number {
    return this.#registry.pods.length;
  }

  describe(): readonly StateLine[] {
    return this.#registry.pods.flatMap((pod) => pod.describe());
  }

  /**
   * Registers what an earlier sandboxer has left in the state folder, and ends it beside what comes now. Answers how many
   * pods that are, and when all are ended.
   */
  takeOverLost(): { readonly count: number; readonly ended: Promise<void> } {
    const { settings, clock, log, system } = this.#options;
    const lost = leftBundles(settings.state).map((left) => {
      const pod = lostPodOf(left, {
        log,
        clock,
        connectEvents: (namespace) => connectEvents(ttrpcAddressOf(settings.containerd), namespace),
        cleanUp: (what) => this.#cleanUp(what),
        removeDeadSocket: (socket) => system.removeDeadSocket(socket),
      });
      this.#registry.addLost(left.name, pod);
      return pod.ended;
    });
    return { count: lost.length, ended: Promise.all(lost).then(() => {}) };
  }

  /** Takes no further pods. */
  closeDoor(): void {
    this.#registry.closeDoor();
  }

  /** Ends every pod in order, all at once. */
  async drain(reason: string): Promise<void> {
    await this.#registry.drain(reason);
  }

  #makeOwnPod({ name, runtimeOptions, configuration }: NewPod): HostedPod {
    const { settings, system, options, nodeProcess } = this.#options;
    const directory = configuredSocketDirectory(options, nodeProcess.env);
    return new HostedPod({
      ...this.#common(),
      flags: { ...name, debug: settings.level === "debug" },
      bundle: this.#bundleOf(name),
      socket: system.socketPath({ address: settings.containerd, ...name, ...(directory && { directory }) }),
      log: this.#options.logOf(name, settings.level),
      runtimeOptions,
      ttrpcAddress: ttrpcAddressOf(settings.containerd),
      grpcAddress: settings.containerd,
      ownBundle: configuration === undefined ? {} : { configuration },
    });
  }

  #makeHandedPod({ name, debug, ...handed }: HandedPod): HostedPod {
    const { logOf, settings } = this.#options;
    return new HostedPod({
      ...this.#common(),
      ...{ runtimeOptions: undefined, ...handed },
      flags: { ...name, debug },
      log: logOf(name, debug ? "debug" : settings.level),
    });
  }

  #common() {
    const { options, nodeProcess, clock, system, identity, control, telemetry } = this.#options;
    return { options, nodeProcess, clock, system, identity, control, telemetry };
  }

  #bundleOf(name: PodName): string {
    return bundleIn(this.#options.settings.state, name);
  }

  async #cleanUp(pod: PodName & { readonly bundle: string }): Promise<void> {
    const { options, nodeProcess, clock, system, settings } = this.#options;
    const { namespace } = pod;
    const log = this.#options.logOf(pod, settings.level);
    const platform = await options.loadPlatform(
      platformContext({ options, nodeProcess, log, namespace, clock, system, servesOnePod: false }),
    );
    try {
      await platform.cleanUp(pod);
    } finally {
      await platform.close();
    }
  }
}

/** containerd takes events by ttrpc beside its gRPC address. */
function ttrpcAddressOf(grpcAddress: string): string {
  return `${grpcAddress}.ttrpc`;
}
