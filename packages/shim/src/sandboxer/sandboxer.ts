import { randomUUID } from "node:crypto";
import { type Clock, currentScope, leaveFailedContext, type ObservationScope } from "@uvm-shim/lifecycle";
import { type TtrpcServer, Turns } from "@uvm-shim/ttrpc";
import { describeError, ShimError } from "../errors.ts";
import type { Platform } from "../platform.ts";
import { ownFolder } from "../program/executable.ts";
import { platformContext } from "../program/platform-context.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { appendToRecord } from "../record/pod-record.ts";
import { connectEvents } from "../services/events/events-ttrpc.ts";
import type { StateLine } from "../services/state-dump.ts";
import { configuredSocketDirectory } from "../system/socket.ts";
import type { ShimLog, ShimSystem } from "../system/system.ts";
import type { SandboxerTelemetry } from "../telemetry/sandboxer-telemetry.ts";
import { controlServer, type HandedPod } from "./control-service.ts";
import { type ControllerHandlers, controllerHandlers, type NewPod } from "./controller-service.ts";
import { HostedPod, type HostedPodOptions } from "./hosted-pod.ts";
import { type LostPodsOptions, lostPodOf } from "./lost-pods.ts";
import type { PodBounds } from "./pod-bounds.ts";
import { PodMakings } from "./pod-makings.ts";
import { type PodName, PodRegistry } from "./registry.ts";
import type { SandboxerSettings } from "./settings.ts";
import { bundleIn, type LeftBundle, leftBundle, leftBundles } from "./state-folder.ts";
import { readyVmId, vmIdsIn } from "./vm-ids.ts";
import { VmPool } from "./vm-pool.ts";

/** What a sandboxer is made from. */
export interface SandboxerOptions {
  readonly settings: Pick<SandboxerSettings, "containerd" | "state" | "level" | "warmPool">;
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
  readonly bounds?: PodBounds | undefined;
  /** Which pods may be made at once; by default as many as this machine bears. */
  readonly makings?: PodMakings | undefined;
}

/** All pods of one process, and the two services by which they come and go. */
export class Sandboxer {
  /** containerd's calls. */
  readonly controller: ControllerHandlers;
  /** Serves `start` and `delete`. */
  readonly control: TtrpcServer;
  readonly #options: SandboxerOptions;
  readonly #registry: PodRegistry<HostedPod>;
  readonly #pool: VmPool | undefined;
  readonly #turns = new Turns();
  readonly #makings: PodMakings;
  /** Those that have ended too: some of their work may be left. */
  readonly #byScope = new WeakMap<ObservationScope, HostedPod>();

  constructor(options: SandboxerOptions) {
    this.#options = options;
    const { log, identity, system } = options;
    const { flavour } = options.options;
    this.#registry = new PodRegistry(log);
    const registry = this.#registry;
    this.#pool = this.#makePool();
    this.#makings = options.makings ?? new PodMakings(options);
    const makings = this.#makings;
    const whileMaking = <T>(work: () => Promise<T>): Promise<T> => this.#pool?.during(work) ?? work();
    this.controller = controllerHandlers({
      registry,
      os: flavour === "lcow" ? "linux" : "windows",
      makePod: (pod) => this.#makeOwnPod(pod),
      whileMaking,
      makings,
      bundleOf: (name) => this.#bundleOf(name),
      addressOf: (pod) => `ttrpc+${system.address(pod.socket)}`,
    });
    const makePod = (pod: HandedPod): HostedPod => this.#makeHandedPod(pod);
    this.control = controlServer({
      ...{ registry, flavour, pid: identity.pid, makePod, whileMaking, makings, log },
      host: options.nodeProcess.env.UVM_SHIM_HOST ?? "",
      guest: options.nodeProcess.env.UVM_SHIM_GUEST ?? "",
    });
  }

  /** How many pods are served. */
  get size(): number {
    return this.#registry.pods.length;
  }

  describe(): readonly StateLine[] {
    return [...(this.#pool?.describe() ?? []), ...this.#registry.pods.flatMap((pod) => pod.describe())];
  }

  /**
   * Registers what an earlier sandboxer has left in the state folder, and ends it beside what comes now. Answers how many
   * pods that are, and when all are ended.
   */
  takeOverLost(): { readonly count: number; readonly ended: Promise<void> } {
    const { settings, log } = this.#options;
    const onUnreadable = (folder: string, error: unknown): void =>
      log.log("error", "cannot read what an earlier sandboxer has left", { folder, error: describeError(error) });
    const lost = leftBundles(settings.state, onUnreadable).map((left) => {
      const pod = this.#lostPodOf(left, {
        lostWith: "an earlier sandboxer",
        cleanUp: () => this.#cleanUp({ ...left.name, bundle: left.bundle }),
        record: (left) => this.#recordLoss(left),
      });
      this.#registry.addLost(left.name, pod);
      return pod.ended;
    });
    return { count: lost.length, ended: Promise.all(lost).then(() => {}) };
  }

  #lostPodOf(left: LeftBundle, how: Pick<LostPodsOptions, "lostWith" | "cleanUp" | "record">) {
    const { settings, clock, log, system } = this.#options;
    return lostPodOf(left, {
      ...{ log, clock, ...how },
      connectEvents: (namespace) => connectEvents(ttrpcAddressOf(settings.containerd), namespace),
      removeDeadSocket: (socket) => system.removeDeadSocket(socket),
    });
  }

  /** For an exception that nobody has caught: ends the pod whose work it was. False if it was no pod's. */
  fail(error: unknown): boolean {
    const scope = currentScope();
    leaveFailedContext();
    const pod = scope && this.#byScope.get(scope);
    pod?.fail(error);
    return pod !== undefined;
  }

  /** Boots VMs ahead from now on, if it is to. Resolves when what an earlier sandboxer had ready is ended. */
  async fillPool(): Promise<void> {
    const { log, settings } = this.#options;
    try {
      // Those of a sandboxer that had a pool are ended by one that has none, too.
      await (this.#pool ?? this.#poolOf({ size: 0, memoryInMb: 0 })).begin();
    } catch (error) {
      log.log("error", "cannot read which VMs an earlier sandboxer had ready", {
        ...{ folder: settings.state, error: describeError(error) },
      });
    }
  }

  /** Ends the VMs that wait for pods. Those that do not end do so with the process. */
  async closePool(): Promise<void> {
    await this.#pool
      ?.close()
      .catch((error: unknown) =>
        this.#options.log.log("warn", "cannot empty the pool", { error: describeError(error) }),
      );
  }

  /** Takes no further pods. */
  closeDoor(): void {
    this.#registry.closeDoor();
  }

  /** Ends every pod in order, all at once. */
  async drain(reason: string): Promise<void> {
    await this.#registry.drain(reason);
  }

  #makePool(): VmPool | undefined {
    const { warmPool } = this.#options.settings;
    return warmPool && this.#poolOf(warmPool);
  }

  #poolOf(bounds: NonNullable<SandboxerSettings["warmPool"]>): VmPool {
    const { clock, log, settings } = this.#options;
    return new VmPool({
      ...{ ...bounds, clock, log, ids: vmIdsIn(settings.state), newId: () => readyVmId(randomUUID()) },
      plan: async () => {
        const { planVm } = await this.#loadPlatform(log, "");
        if (planVm === undefined) throw new ShimError("Unimplemented", "VMs of this flavour cannot be booted ahead");
        return await planVm();
      },
      endLeft: async (id) => {
        const platform = await this.#loadPlatform(log, "");
        await platform.endReadyVm?.(id);
      },
    });
  }

  #makeOwnPod({ name, runtimeOptions, configuration }: NewPod): HostedPod {
    const { settings, system, options, nodeProcess } = this.#options;
    const directory = configuredSocketDirectory(options, nodeProcess.env);
    const log = this.#options.logOf(name, settings.level);
    const asLost = (cleanUp: () => Promise<void>) =>
      this.#lostPodOf(leftBundle(settings.state, name), {
        ...{ lostWith: "a failure of its own", cleanUp },
        // It says already why.
        record: async () => {},
      });
    return this.#known({
      ...this.#common(log),
      flags: { ...name, debug: settings.level === "debug" },
      ...this.#bundleAndCleanUp(name, this.#bundleOf(name)),
      socket: system.socketPath({ address: settings.containerd, ...name, ...(directory && { directory }) }),
      runtimeOptions,
      ttrpcAddress: ttrpcAddressOf(settings.containerd),
      grpcAddress: settings.containerd,
      ownBundle: { asLost, ...(configuration && { configuration }) },
    });
  }

  #makeHandedPod({ name, debug, ...handed }: HandedPod): HostedPod {
    const { logOf, settings } = this.#options;
    return this.#known({
      ...this.#common(logOf(name, debug ? "debug" : settings.level)),
      ...{ runtimeOptions: undefined, ...handed, ...this.#bundleAndCleanUp(name, handed.bundle) },
      flags: { ...name, debug },
    });
  }

  #known(options: HostedPodOptions): HostedPod {
    const pod = new HostedPod(options);
    this.#byScope.set(pod.scope, pod);
    return pod;
  }

  #bundleAndCleanUp(name: PodName, bundle: string) {
    return { bundle, cleanUp: () => this.#cleanUp({ ...name, bundle }) };
  }

  #common(log: ShimLog) {
    const { options, nodeProcess, clock, system, identity, control, telemetry, bounds } = this.#options;
    const readyVms = this.#pool?.forPod(log);
    const turn = this.#turns.join();
    const makings = this.#makings;
    return { options, nodeProcess, clock, system, identity, control, telemetry, log, readyVms, turn, bounds, makings };
  }

  #bundleOf(name: PodName): string {
    return bundleIn(this.#options.settings.state, name);
  }

  async #recordLoss({ name, bundle, state }: LeftBundle): Promise<void> {
    // Of one that was never served there is no record.
    if (state?.kind !== "hosted") return;
    const { options, nodeProcess, clock, system, settings } = this.#options;
    const pod = {
      ...{ options, env: nodeProcess.env, bundle, socket: state.socket, identity: state, clock, system },
      flags: { ...name, debug: settings.level === "debug" },
      installed: options.executableDirectory ?? ownFolder(nodeProcess),
    };
    const attributes = { pid: state.pid, wasRunning: false, withSandboxer: true };
    await appendToRecord("sandboxer", pod, [{ name: "shim lost", attributes }]);
  }

  async #cleanUp(pod: PodName & { readonly bundle: string }): Promise<void> {
    const { logOf, settings } = this.#options;
    const platform = await this.#loadPlatform(logOf(pod, settings.level), pod.namespace);
    try {
      await platform.cleanUp(pod);
    } finally {
      await platform.close();
    }
  }

  #loadPlatform(log: ShimLog, namespace: string): Promise<Platform> {
    const { options, nodeProcess, clock, system } = this.#options;
    return options.loadPlatform(
      platformContext({ options, nodeProcess, log, namespace, clock, system, servesOnePod: false }),
    );
  }
}

/** containerd takes events by ttrpc beside its gRPC address. */
function ttrpcAddressOf(grpcAddress: string): string {
  return `${grpcAddress}.ttrpc`;
}
