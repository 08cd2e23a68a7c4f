import { mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Duplex, duplexPair } from "node:stream";
import { Acquisitions, addObserver, ObservationScope, reportOccurrence, type Step } from "@uvm-shim/lifecycle";
import { type CallOptions, TtrpcClient, type Turn } from "@uvm-shim/ttrpc";
import { describeError, printableMessage } from "../errors.ts";
import { containerd } from "../generated/messages.js";
import { endWhenOrphaned, orphanMilliseconds } from "../program/orphan.ts";
import { writeFileAtomically, writeState } from "../program/state-file.ts";
import type { ReadyVms } from "../ready-vms.ts";
import type { StateLine } from "../services/state-dump.ts";
import { ServedPod, type ServedPodOptions } from "../serving/served-pod.ts";
import type { Listener } from "../system/system.ts";
import type { SandboxerTelemetry, WatchedPod } from "../telemetry/sandboxer-telemetry.ts";
import { type PodBounds, podBounds } from "./pod-bounds.ts";
import type { PodMakings } from "./pod-makings.ts";
import type { LostPod } from "./registry.ts";
import { tasksFile } from "./state-folder.ts";

const { Sandbox } = containerd.runtime.sandbox.v1;
type SandboxMethods = typeof Sandbox.methods;
/** Each version of the service has the same methods. */
const taskServices = [containerd.task.v2.Task.name, containerd.task.v3.Task.name];
/** The name of one of the Sandbox service's methods. */
export type SandboxMethod = keyof SandboxMethods;
/** What such a method is asked. */
export type SandboxRequest<M extends SandboxMethod> = Parameters<SandboxMethods[M]["request"]["encode"]>[0];
/** What such a method answers. */
export type SandboxResponse<M extends SandboxMethod> = ReturnType<SandboxMethods[M]["response"]["decode"]>;

/** What a pod in a process of many is made from. */
export interface HostedPodOptions extends Omit<ServedPodOptions, "hosted"> {
  /** Where the sandboxer can be asked to give the pod up. */
  readonly control: string;
  /** Absent where nobody wants to know. */
  readonly telemetry?: SandboxerTelemetry | undefined;
  readonly readyVms?: ReadyVms | undefined;
  /** Its share of the thread; absent if it has it for itself. */
  readonly turn?: Turn | undefined;
  /** Those of every pod if absent. */
  readonly bounds?: PodBounds | undefined;
  /** Told when its containers are used, and when it is made; absent if no other pod cares. */
  readonly makings?: Pick<PodMakings, "use" | "end"> | undefined;
  /** Absent if the bundle is a client's; otherwise it is made and removed with the pod. */
  readonly ownBundle?: {
    /** The content of its config.json; absent if it has none. */
    readonly configuration?: Uint8Array;
    /** Makes of it what is known of a lost pod, which `end`s it first. */
    readonly asLost: (end: () => Promise<void>) => LostPod;
  };
  /** Ends what is left of the VM and what the host keeps for it. */
  readonly cleanUp: () => Promise<void>;
}

/** A pod that this process serves beside others, at a socket of its own. */
export class HostedPod {
  readonly #options: HostedPodOptions;
  readonly #pod: ServedPod;
  readonly #scope = new ObservationScope();
  readonly #held = new Acquisitions();
  #listener: Listener | undefined;
  #watched: WatchedPod | undefined;
  #connections = 0;
  #refused = 0;
  #reason = "released";
  #hasFailed = false;

  constructor(options: HostedPodOptions) {
    this.#options = options;
    const { control, ownBundle, readyVms, turn, bounds = podBounds } = options;
    const server = {
      ...{ maxServerCalls: bounds.calls, maxWaitingBytes: bounds.waitingBytes },
      ...(turn && { turn }),
    };
    const onTasks = ownBundle && { onTasks: (ids: readonly string[]) => this.#keepTasks(ids) };
    this.#pod = new ServedPod({
      ...options,
      hosted: { scope: this.#scope, control, readyVms, bounds: server, ...onTasks },
    });
    void this.#pod.ended.then((reason) => {
      this.#reason = reason;
    });
  }

  /** What all its work is a part of. */
  get scope(): ObservationScope {
    return this.#scope;
  }

  get id(): string {
    return this.#options.flags.id;
  }

  get socket(): string {
    return this.#options.socket;
  }

  /** The reason why the pod is to be served no longer. */
  get ended(): Promise<string> {
    return this.#pod.ended;
  }

  describe(): readonly StateLine[] {
    return this.#pod.describe();
  }

  /** What failed is taken back. */
  async open(): Promise<void> {
    await this.#scope.run(() => this.#held.acquireAll(this.#steps()));
  }

  #steps(): readonly Step[] {
    const { ownBundle, bundle, socket, system } = this.#options;
    const { namespace, id } = this.#options.flags;
    let stopWatching = (): void => {};
    const served: readonly Step[] = [
      {
        name: "watch",
        acquire: async () => {
          stopWatching = this.#watchCalls();
        },
        release: async () => {
          stopWatching();
          this.#options.makings?.end({ namespace, id });
        },
      },
      {
        name: "telemetry",
        acquire: async () => {
          this.#watched = this.#options.telemetry?.watchPod({ namespace, id });
        },
        release: async () => this.#watched?.end(),
      },
      {
        name: "services",
        acquire: async () => {
          await this.#pod.record();
          const services = await this.#pod.load(this.#watched?.stdio);
          this.#watched?.begin(services);
        },
        release: async () => {
          await this.#pod.close();
          await this.#pod.closeRecord();
        },
      },
      {
        name: "state file",
        acquire: async () => {
          const { control, identity } = this.#options;
          writeState(bundle, { kind: "hosted", id, namespace, socket, ...identity, control });
        },
        release: async () => {
          // `delete` waits for this.
          if (this.#pod.isOrderly) this.#pod.leaveEnded(true);
        },
      },
      {
        name: "socket",
        acquire: async () => {
          await system.prepareSocket(socket);
          this.#listener = await system.listen(socket, (connection) => this.#scope.run(() => this.#accept(connection)));
        },
        release: async () => this.#listener?.close(),
      },
    ];
    if (ownBundle === undefined) return [...served, this.#orphanWatch()];
    const own: Step = {
      name: "bundle",
      acquire: async () => {
        await mkdir(bundle, { recursive: true, mode: 0o700 });
        const { configuration } = ownBundle;
        if (configuration !== undefined) {
          await writeFile(path.join(bundle, "config.json"), configuration, { mode: 0o600 });
        }
      },
      release: async () => {
        if (!this.#hasFailed) await rm(bundle, { recursive: true, force: true });
      },
    };
    return [own, ...served];
  }

  #watchCalls(): () => void {
    const { makings, flags } = this.#options;
    if (makings === undefined) return () => {};
    return addObserver({
      began: ({ name }) => {
        if (taskServices.some((service) => name === `${service}/Exec`)) makings.use();
      },
      ended: ({ name }, error) => {
        const isStart = taskServices.some((service) => name === `${service}/Start`);
        if (isStart && error === undefined) makings.end(flags);
      },
    });
  }

  #accept(connection: Duplex): void {
    const { log, bounds = podBounds } = this.#options;
    if (this.#connections >= bounds.connections) {
      if (this.#refused === 0) {
        log.log("warn", `connections are refused: there are ${this.#connections}, expected no more`);
      }
      this.#refused += 1;
      connection.on("error", () => {});
      connection.destroy();
      return;
    }
    if (this.#refused > 0) log.log("warn", "connections are accepted again", { refused: this.#refused });
    this.#refused = 0;
    this.#connections += 1;
    connection.once("close", () => {
      this.#connections -= 1;
    });
    this.#pod.accept(connection);
  }

  /** Nobody may ever come to a pod that `start` has handed over. */
  #orphanWatch(): Step {
    const over = new AbortController();
    const { options, clock } = this.#options;
    return {
      name: "orphan watch",
      acquire: async () => {
        const milliseconds = options.orphanMilliseconds ?? orphanMilliseconds;
        const end = (reason: string): void => this.#pod.end(reason);
        void endWhenOrphaned(this.#pod, milliseconds, clock, over.signal, end);
      },
      release: async () => over.abort(),
    };
  }

  /** A sandboxer that comes after a crash reports their exits. */
  #keepTasks(ids: readonly string[]): void {
    const { bundle, log } = this.#options;
    try {
      writeFileAtomically(path.join(bundle, tasksFile), ids.map((id) => `${id}\n`).join(""));
    } catch (error) {
      log.log("warn", "cannot keep the ids of the tasks", { error: describeError(error) });
    }
  }

  /** Calls the pod's own Sandbox service, as a client at its socket would. */
  async call<M extends SandboxMethod>(
    method: M,
    request: SandboxRequest<M>,
    options: CallOptions,
  ): Promise<SandboxResponse<M>> {
    // ttrpc has no message that ends a call, so each has a connection of its own: its end ends the call.
    const [ours, theirs] = duplexPair();
    this.#pod.accept(theirs, "own process");
    const client = new TtrpcClient(ours);
    try {
      return (await client.call(Sandbox, method, request as never, options)) as SandboxResponse<M>;
    } finally {
      client.close();
    }
  }

  /** Ends the VM and all in it; resolves when it has ended or cannot be ended, within a bound. */
  async terminate(reason: string): Promise<void> {
    this.#pod.terminate(reason);
    await this.#pod.ended;
  }

  /** For an exception of its work that nobody has caught. It ends as if a process of its own had crashed. */
  fail(error: unknown): void {
    const { log } = this.#options;
    const fields = { error: describeError(error), stack: error instanceof Error ? error.stack : undefined };
    log.log("error", this.#hasFailed ? "pod failed once more" : "pod failed", fields);
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#pod.crash(error);
    this.#pod.abandon(`failed: ${printableMessage(error)}`);
  }

  /** What becomes of it when it has ended; undefined unless it has failed, and nobody else tells containerd. */
  readonly lost = (): LostPod | undefined =>
    this.#hasFailed ? this.#options.ownBundle?.asLost(() => this.#endFailed()) : undefined;

  async #endFailed(): Promise<void> {
    const report = (error: unknown): void =>
      this.#options.log.log("error", "cannot release all of a pod", { error: describeError(error) });
    await this.#scope.run(() => this.#held.releaseAll()).catch(report);
    await this.#options.cleanUp();
  }

  /** Serves it no longer. Can be repeated until it succeeds. */
  async close(): Promise<void> {
    if (this.#hasFailed) return await this.#endFailed();
    await this.#scope.run(() => {
      // Its record would look as if the process had been killed.
      reportOccurrence("ending", { reason: this.#reason });
      return this.#held.releaseAll();
    });
  }
}
