import type { Duplex } from "node:stream";
import { type Clock, type ObservationScope, reportOccurrence, settlesWithin } from "@uvm-shim/lifecycle";
import { describeError } from "../errors.ts";
import type { LogLevel, Platform } from "../platform.ts";
import type { RuntimeOptions } from "../program/bootstrap.ts";
import { sparesCompletedPods } from "../program/containerd-version.ts";
import { leaveDeleteAnswer, leaveMembersAnswer } from "../program/delete-answer.ts";
import { ownFolder } from "../program/executable.ts";
import type { ShimFlags } from "../program/flags.ts";
import { platformContext } from "../program/platform-context.ts";
import { lingerFrom } from "../program/retirement.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { type ShimState, writeState } from "../program/state-file.ts";
import type { ReadyVms } from "../ready-vms.ts";
import type { PodRecord } from "../record/pod-record.ts";
import type { Services, ServicesOptions } from "../services/services.ts";
import type { StateLine } from "../services/state-dump.ts";
import { callFileSystem } from "../system/file-calls.ts";
import type { ShimLog, ShimSystem } from "../system/system.ts";
import type { QueuedStdio } from "../telemetry/queued-stdio.ts";

const closeMilliseconds = 2000;
const terminateMilliseconds = 12_000;
/** How long clients have to delete their tasks after a signal has stopped the sandbox. */
const clientsMilliseconds = 1000;

/** What a served pod is made from. */
export interface ServedPodOptions {
  readonly flags: Pick<ShimFlags, "namespace" | "id" | "debug">;
  readonly options: ShimOptions;
  readonly nodeProcess: NodeJS.Process;
  readonly bundle: string;
  readonly socket: string;
  readonly clock: Clock;
  readonly system: ShimSystem;
  readonly log: ShimLog;
  readonly runtimeOptions: RuntimeOptions | undefined;
  /** Where containerd takes events; empty if nobody does. */
  readonly ttrpcAddress: string;
  readonly grpcAddress: string;
  /** The process that serves. */
  readonly identity: { readonly pid: number; readonly processStartTime: string };
  /** Present where the process serves other pods too. */
  readonly hosted?: {
    /** What is observed of this pod alone. */
    readonly scope: ObservationScope;
    /** Where the process can be asked to give the pod up. */
    readonly control: string;
    /** Told of the ids of all tasks whenever one is added or removed. */
    readonly onTasks?: (ids: readonly string[]) => void;
    /** VMs that the pod can take. */
    readonly readyVms?: ReadyVms | undefined;
    readonly bounds?: ServicesOptions["bounds"];
  };
}

/** What one pod is served with: services, platform and record. Its socket may accept connections before they are loaded. */
export class ServedPod {
  readonly #options: ServedPodOptions;
  readonly #services = Promise.withResolvers<Services>();
  readonly #ended = Promise.withResolvers<string>();
  #loaded: Services | undefined;
  #record: PodRecord | undefined;
  #platform: Promise<Platform> | undefined;
  #isEnding = false;

  constructor(options: ServedPodOptions) {
    this.#options = options;
    this.#services.promise.catch(() => {});
  }

  /** The reason why the pod is to be served no longer. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  /** Whether everything the pod held has been released: nothing is left for `delete`. */
  get isOrderly(): boolean {
    return this.#isEnding;
  }

  get log(): ShimLog {
    return this.#record?.log ?? this.#options.log;
  }

  /** Whether there is neither a sandbox nor a task. */
  get isIdle(): boolean {
    return this.#loaded?.isIdle ?? true;
  }

  /** Serves a client once the services are loaded. */
  accept(connection: Duplex, from: "client" | "own process" = "client"): void {
    connection.on("error", () => {});
    this.#services.promise.then(
      (services) => services.serve(connection, from),
      () => connection.destroy(),
    );
  }

  /** Sandbox, tasks and pending calls, for the state dump. */
  describe(): readonly StateLine[] {
    return this.#loaded?.describe() ?? [];
  }

  /** Records from now on what is observed. */
  async record(): Promise<void> {
    const { PodRecord } = await import("../record/pod-record.ts");
    const { flags, options, nodeProcess, bundle, socket, identity, clock, system, log } = this.#options;
    const installed = options.executableDirectory ?? ownFolder(nodeProcess);
    const pod = { flags, options, env: nodeProcess.env, installed, bundle, socket, identity, clock, system };
    this.#record = new PodRecord(pod, log);
  }

  /** Loads services and platform. */
  async load(queuedStdio: QueuedStdio | undefined): Promise<Services> {
    const { flags, options, nodeProcess, bundle, socket, clock, system, runtimeOptions } = this.#options;
    const { id, namespace } = flags;
    const { log } = this;
    const record = this.#record;
    const setLogLevel = (level: LogLevel): void => log.setLevel(level);
    const guestLog = record?.log.ofGuest;
    const context = {
      ...platformContext({
        ...{ options, nodeProcess, log, namespace, clock, system, runtimeOptions, queuedStdio },
        servesOnePod: this.#options.hosted === undefined,
        readyVms: this.#options.hosted?.readyVms,
        ...(guestLog && { guestLog }),
      }),
      setLogLevel,
    };
    const loadPlatform = (): Promise<Platform> => {
      this.#platform ??= options.loadPlatform(context).catch((error: unknown) => {
        this.#platform = undefined;
        throw error;
      });
      return this.#platform;
    };
    const { createServices } = await import("../services/services.ts");
    const { randomUUID } = await import("node:crypto");
    const { grpcAddress, ttrpcAddress, identity, hosted } = this.#options;
    const services = createServices({
      name: options.name,
      shimId: id,
      namespace,
      bundle,
      pid: identity.pid,
      version: options.version,
      ...(runtimeOptions === undefined ? {} : { runtimeOptions }),
      ttrpcAddress,
      platform: loadPlatform,
      newActivityId: randomUUID,
      ...(record && { records: record.recorder }),
      ...(hosted && { scope: hosted.scope }),
      ...(hosted?.onTasks && { onTasks: hosted.onTasks }),
      bounds: hosted?.bounds,
      log,
      clock,
      // A pod that has ended costs no process of its own, and its clients can go on asking.
      isDispensable: hosted === undefined ? () => sparesCompletedPods(grpcAddress) : async () => false,
      lingerMilliseconds: lingerFrom(nodeProcess.env.UVM_SHIM_LINGER_MS, log),
      end: (reason) => this.#end(reason),
      handOver: () => this.leave({ kind: "member", id, namespace, socket, sandboxId: id }),
      onMemberDeleted: (member, folder) => this.#leaveMembersAnswer(member, folder),
    });
    this.#loaded = services;
    this.#services.resolve(services);
    log.log("info", "serving", { socket, pid: identity.pid, version: options.version });
    // Loaded before the first request, which reports a failure to its caller.
    loadPlatform().catch((error: unknown) =>
      log.log("error", "cannot load the platform", { error: describeError(error) }),
    );
    return services;
  }

  leave(state: ShimState): void {
    try {
      writeState(this.#options.bundle, state);
    } catch (error) {
      // Nobody reads the state of a bundle that is gone. Without the state, `delete` repeats the cleanup.
      const isGone = (error as NodeJS.ErrnoException).code === "ENOENT";
      this.log.log(isGone ? "debug" : "warn", "cannot write the state file", { error: describeError(error) });
    }
  }

  /** The state once all has been released. `isReleased` says that `delete` need not wait for the process either. */
  leaveEnded(isReleased?: boolean): void {
    const { flags, socket, identity, hosted } = this.#options;
    const { id, namespace } = flags;
    const control = hosted && { control: hosted.control };
    this.leave({ kind: "ended", id, namespace, socket, ...identity, ...control, ...(isReleased && { isReleased }) });
  }

  /** Without it `delete` starts a process, which waits for the end of this one. */
  #leaveDeleteAnswer(): void {
    const { bundle, flags, clock } = this.#options;
    try {
      leaveDeleteAnswer(bundle, flags.id, clock.now());
    } catch (error) {
      this.#tellUnanswered(error);
    }
  }

  /** `delete` has nothing to do for a container that joined. Its bundle is one that a client named. */
  async #leaveMembersAnswer(id: string, bundle: string): Promise<void> {
    const { clock } = this.#options;
    const leave = (): Promise<void> => leaveMembersAnswer(bundle, id, clock.now());
    try {
      await callFileSystem(bundle, leave, () => {}, { clock });
    } catch (error) {
      this.#tellUnanswered(error);
    }
  }

  #tellUnanswered(error: unknown): void {
    this.log.log("debug", "cannot leave the answer to delete", { error: describeError(error) });
  }

  /** Stops the sandbox. `ended` resolves when that has succeeded or failed, within a bound. */
  terminate(reason: string): void {
    this.log.log("warn", "stopping on a signal", { signal: reason });
    reportOccurrence("signal", { signal: reason });
    const stopped = this.#loaded === undefined ? Promise.resolve() : this.#loaded.stopAll(clientsMilliseconds);
    stopped.then(
      () => this.#end(reason),
      (error: unknown) => {
        this.log.log("error", "cannot stop the sandbox", { error: describeError(error) });
        // The state stays `serving`, so that `delete` removes what is left.
        this.#ended.resolve(reason);
      },
    );
    void settlesWithin(stopped, terminateMilliseconds, this.#options.clock).then(() => this.#ended.resolve(reason));
  }

  /** Ends a pod that nobody needs. */
  end(reason: string): void {
    this.#end(reason);
  }

  #end(reason: string): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    // Written before the response is sent: containerd then runs `delete`, which reads it and skips the cleanup.
    this.leaveEnded();
    this.#leaveDeleteAnswer();
    this.#ended.resolve(reason);
  }

  /** Its state stays as it is: what is left of it has to be removed. */
  abandon(reason: string): void {
    this.#ended.resolve(reason);
  }

  /** Answers what is under way, and lets go of the host. */
  async close(): Promise<void> {
    await this.#loaded?.close(closeMilliseconds);
    await (await this.#platform?.catch(() => undefined))?.close();
  }

  async closeRecord(): Promise<void> {
    await this.#record?.end(this.#isEnding);
  }

  /** For a process that ends at once. */
  crash(error: unknown): void {
    this.#loaded?.destroy();
    this.#record?.crashed(error);
    this.#services.reject(error);
  }
}
