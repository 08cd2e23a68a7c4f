import { abortable, type Clock } from "@uvm-shim/lifecycle";
import { ShimError } from "../../errors.ts";
import type { containerd, google } from "../../generated/messages.js";
import type { Platform, PodSettings, Sandbox } from "../../platform.ts";
import type { RuntimeOptions } from "../../program/bootstrap.ts";
import { readConfiguration } from "../../program/bundle.ts";
import { checkIdentifier } from "../../program/identifiers.ts";
import { readPodConfiguration } from "../../program/pod-configuration.ts";
import { budgets, withinBudget } from "../budgets.ts";
import { architecture, exitFields, timestampOf } from "../messages.ts";
import { encodeVmStatistics } from "../statistics.ts";
import type { SandboxSlot } from "./sandbox-slot.ts";

type Requests = typeof containerd.runtime.sandbox.v1;
type Request<Name extends keyof Requests> = Requests[Name] extends new (
  ...properties: never[]
) => infer Message
  ? Message
  : never;

/** What the Sandbox service is made from. */
export interface SandboxServiceOptions {
  readonly namespace: string;
  readonly bundle: string;
  readonly pid: number;
  readonly runtimeOptions?: RuntimeOptions;
  readonly platform: () => Promise<Platform>;
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  /** Stops the sandbox and releases what its tasks hold. */
  readonly deleteAll: () => Promise<void>;
  /** Called when a CRI pod has been created, whose shim need not outlive it. */
  readonly onPodCreated: () => void;
  /** Ends the serving process after the pending responses. */
  readonly end: (reason: string) => void;
}

/** For StopSandbox requests without a timeout. */
const defaultStopMilliseconds = 10_000;

/** The Sandbox service of containerd 1.7 and 2.x. */
export class SandboxService {
  readonly #options: SandboxServiceOptions;

  constructor(options: SandboxServiceOptions) {
    this.#options = options;
  }

  async createSandbox(request: Request<"CreateSandboxRequest">, signal?: AbortSignal): Promise<object> {
    const { slot, namespace } = this.#options;
    const id = checkIdentifier("create sandbox: sandbox_id", request.sandboxId);
    const bundle = request.bundlePath === "" ? this.#options.bundle : request.bundlePath;
    // CRI writes no config.json; the options contain its annotations.
    const configuration = await readConfiguration(bundle);
    const options = decodeOptions(request.options);
    const runtimeOptions = this.#options.runtimeOptions ?? options.runtimeOptions;
    const annotations = { ...configuration?.annotations, ...options.annotations, ...request.annotations };
    await slot.create(
      "api",
      {
        id,
        namespace,
        bundle,
        annotations,
        makesContainer: true,
        ...(configuration === undefined ? {} : { spec: configuration.spec }),
        ...(options.pod === undefined ? {} : { pod: options.pod }),
        ...(request.netnsPath === "" ? {} : { netnsPath: request.netnsPath }),
        ...(runtimeOptions === undefined ? {} : { runtimeOptions }),
      },
      signal,
    );
    // Clients other than CRI cannot remove a sandbox whose shim has exited.
    if (options.pod !== undefined) this.#options.onPodCreated();
    return {};
  }

  async startSandbox(request: Request<"StartSandboxRequest">, signal?: AbortSignal) {
    const { slot } = this.#options;
    if (slot.present === undefined) {
      throw new ShimError("FailedPrecondition", `start sandbox ${request.sandboxId}: it has not been created`);
    }
    const { sandbox } = slot.require(request.sandboxId);
    await sandbox.start(signal);
    return { pid: this.#pidOf(sandbox), createdAt: timestampOf(sandbox.createdAt) };
  }

  /** containerd builds /proc paths from it, by which containers join namespaces in the guest. */
  #pidOf(sandbox: Sandbox): number {
    return sandbox.pid ?? this.#options.pid;
  }

  async platform() {
    const { os } = await this.#options.platform();
    return { platform: { os, architecture: architecture() } };
  }

  async stopSandbox(request: Request<"StopSandboxRequest">, signal?: AbortSignal): Promise<object> {
    const { slot } = this.#options;
    slot.require(request.sandboxId);
    if (request.timeoutSecs === 0) await slot.stopPatiently(defaultStopMilliseconds, signal);
    else await slot.stop(request.timeoutSecs * 1000, signal);
    return {};
  }

  async waitSandbox(request: Request<"WaitSandboxRequest">, signal?: AbortSignal) {
    const { sandbox, exit } = this.#options.slot.require(request.sandboxId);
    return exitFields(exit ?? (await abortable(sandbox.wait(signal), signal)));
  }

  async sandboxStatus(request: Request<"SandboxStatusRequest">) {
    const { sandbox, exit } = this.#options.slot.require(request.sandboxId);
    const { exitedAt } = exitFields(exit);
    return {
      sandboxId: sandbox.id,
      pid: this.#pidOf(sandbox),
      state: sandbox.isReady ? "SANDBOX_READY" : "SANDBOX_NOTREADY",
      info: request.verbose ? this.#infoOf(sandbox) : {},
      createdAt: timestampOf(sandbox.createdAt),
      ...(exitedAt === undefined ? {} : { exitedAt }),
    };
  }

  /** CRI clients read the pid from JSON under `info`. */
  #infoOf(sandbox: Sandbox): { readonly [name: string]: string } {
    const { state } = sandbox;
    const pid = this.#pidOf(sandbox);
    return {
      info: JSON.stringify({ pid, processStatus: state }),
      pid: `${pid}`,
      state,
      containers: `${sandbox.containers().length}`,
    };
  }

  async pingSandbox(request: Request<"PingRequest">, signal?: AbortSignal): Promise<object> {
    const { sandbox } = this.#options.slot.require(request.sandboxId);
    if (sandbox.state !== "running") {
      throw new ShimError("Unavailable", `ping sandbox ${sandbox.id}: it is ${sandbox.state}, not running`);
    }
    const operation = `ping sandbox ${sandbox.id}`;
    const { clock } = this.#options;
    await withinBudget(budgets.figures, operation, (until) => sandbox.ping(until), { clock, signal });
    return {};
  }

  /** Succeeds without a sandbox too, after a failed creation: containerd then only wants the shim to exit. */
  async shutdownSandbox(request: Request<"ShutdownSandboxRequest">): Promise<object> {
    if (this.#options.slot.present !== undefined) this.#options.slot.require(request.sandboxId);
    await this.#options.deleteAll();
    this.#options.end(`shutdown of sandbox ${request.sandboxId}`);
    return {};
  }

  async sandboxMetrics(request: Request<"SandboxMetricsRequest">, signal?: AbortSignal) {
    const { sandbox } = this.#options.slot.require(request.sandboxId);
    const { os } = await this.#options.platform();
    const data = encodeVmStatistics(os, await sandbox.statistics(signal));
    return { metrics: { id: sandbox.id, timestamp: timestampOf(this.#options.clock.now()), data } };
  }
}

/** CRI passes its pod configuration; other clients may pass runtime options. */
function decodeOptions(options: google.protobuf.Any | null): {
  readonly annotations?: { readonly [key: string]: string };
  readonly pod?: PodSettings;
  readonly runtimeOptions?: RuntimeOptions;
} {
  if (options === null || options.type_url === "") return {};
  if (!options.type_url.endsWith("runtime.v1.PodSandboxConfig")) {
    return { runtimeOptions: { typeUrl: options.type_url, value: options.value } };
  }
  return readPodConfiguration(options.value);
}
