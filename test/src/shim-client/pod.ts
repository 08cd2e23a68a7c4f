import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { runtime } from "../generated/messages.js";
import { parseMountinfo } from "../leaks/mountinfo.ts";
import type { ClientStdio } from "./client-stdio.ts";
import { EventSink } from "./events.ts";
import { deleteShim, Sandbox, ShimClient, type ShimIdentity, Task } from "./shim.ts";
import { linuxSpecs, type PodSpecs, type ProcessOptions, type Specification } from "./spec.ts";
import { makeStdio } from "./stdio.ts";

export const PHASES = ["start", "create sandbox", "boot", "create", "start task", "delete", "stop", "end"] as const;
export type Phase = (typeof PHASES)[number];

export interface PhaseObserver {
  begins(phase: Phase): void;
  /** Not called for a phase that failed. */
  ended(phase: Phase, milliseconds: number): void;
}

export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface PodOptions extends Pick<ShimIdentity, "dialect" | "containerdSocket"> {
  readonly executable: string;
  /** An empty directory for bundles, FIFOs and sockets. Its path is short: sockets are in it where they are files. */
  readonly directory: string;
  readonly id: string;
  readonly environment?: { readonly [name: string]: string };
  readonly annotations?: { readonly [key: string]: string };
  /** As the Sandbox API's caller names the pod's network. */
  readonly netnsPath?: string;
  /** What a kubelet says of the pod. */
  readonly configuration?: runtime.v1.PodSandboxConfig.Input;
  /** `containerd.runhcs.v1.Options`, encoded. */
  readonly runtimeOptions?: Uint8Array;
  /** By default those of Linux. */
  readonly specs?: PodSpecs;
  /** The API by which the sandbox is made; by the Task API, as a task of its own. */
  readonly form?: "Sandbox API" | "Task API";
  /** Of the sandbox's own task. */
  readonly rootfs?: readonly Mount[];
  /** GUID of the HCN namespace that the specification of the sandbox names. */
  readonly networkNamespace?: string;
  readonly signal?: AbortSignal;
  readonly observer?: PhaseObserver;
}

export interface ContainerOptions extends ProcessOptions {
  readonly id: string;
  readonly rootfs: readonly Mount[];
  /** Where its output goes instead of to FIFOs. */
  readonly stdout?: string;
  /** Makes of the usual config.json what the test wants. */
  readonly change?: (specification: Specification) => object;
  /** GUID of the HCN namespace that its specification names. */
  readonly networkNamespace?: string;
}

const { PodSandboxConfig } = runtime.v1;
const NAMESPACE = "pods";
const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const OPTIONS_TYPE = "containerd.runhcs.v1.Options";
const STOP_SECONDS = 10;
const SIGKILL = 9;

/** A pod behind a shim of its own, run as containerd runs a sandbox and its containers. */
export class Pod {
  readonly shim: ShimClient;
  readonly sink: EventSink;
  readonly identity: ShimIdentity;
  readonly #options: PodOptions;
  readonly #bundles = new Set<string>();
  #serving = true;

  private constructor(options: PodOptions, identity: ShimIdentity, shim: ShimClient, sink: EventSink) {
    this.#options = options;
    this.identity = identity;
    this.shim = shim;
    this.sink = sink;
  }

  /** Starts the shim, creates the sandbox and boots its VM; what fails leaves nothing. */
  static async run(options: PodOptions): Promise<Pod> {
    const { directory, id, executable, environment, runtimeOptions, dialect, containerdSocket } = options;
    const { annotations, networkNamespace, specs = linuxSpecs } = options;
    const bundle = join(directory, id);
    const eventSocket = eventSocketIn(directory);
    makeBundle(
      bundle,
      specs.sandbox({ id, ...(annotations && { annotations }), ...(networkNamespace && { networkNamespace }) }),
    );
    const sink = await EventSink.listen(eventSocket);
    const identity: ShimIdentity = {
      ...{ executable, namespace: NAMESPACE, id, bundle, eventSocket },
      ...(environment && { environment }),
      ...(runtimeOptions && { runtimeOptions }),
      ...(dialect && { dialect }),
      ...(containerdSocket && { containerdSocket }),
    };
    let pod: Pod | undefined;
    try {
      const shim = await timed(options, "start", () => ShimClient.start(identity, options.signal));
      const started = new Pod(options, identity, shim, sink);
      pod = started;
      await (options.form === "Task API" ? started.#createTask() : started.#createSandbox());
      return started;
    } catch (error) {
      if (pod === undefined) {
        await deleteShim(identity).catch(() => undefined);
        await sink.close();
        await removeBundle(bundle);
      } else await pod.abandon();
      throw error;
    }
  }

  /** A pod that others have made, and remove: containers can be made in it at the address where it is served. */
  static async adopt(options: PodOptions, address: string, sink: EventSink): Promise<Pod> {
    const { directory, id, executable } = options;
    const identity = { executable, namespace: NAMESPACE, id, bundle: join(directory, id), eventSocket: "" };
    return new Pod(options, identity, await ShimClient.connect(identity, address), sink);
  }

  async #createSandbox(): Promise<void> {
    const { id: sandboxId, annotations = {}, netnsPath = "", configuration } = this.#options;
    const request = {
      ...{ sandboxId, bundlePath: this.identity.bundle, annotations, netnsPath },
      ...(configuration && { options: podConfiguration(configuration) }),
    };
    const options = callOptions(this.#options);
    await this.timed("create sandbox", () => this.shim.call(Sandbox, "CreateSandbox", request, options));
    await this.timed("boot", () => this.shim.call(Sandbox, "StartSandbox", { sandboxId }, options));
  }

  async #createTask(): Promise<void> {
    const { id, rootfs = [], runtimeOptions: value } = this.#options;
    const request = {
      ...{ id, bundle: this.identity.bundle, rootfs },
      ...(value && { options: { type_url: OPTIONS_TYPE, value } }),
    };
    const options = callOptions(this.#options);
    await this.timed("create sandbox", () => this.shim.call(Task, "Create", request, options));
    await this.timed("boot", () => this.shim.call(Task, "Start", { id }, options));
  }

  /** Creates a container; start it, and delete it when it has ended. */
  async createContainer(options: ContainerOptions): Promise<PodContainer> {
    const { id, rootfs, terminal = false } = options;
    const bundle = join(this.#options.directory, id);
    const { id: podId, specs = linuxSpecs } = this.#options;
    const specification = specs.container({ ...options, podId, hostname: id, cgroup: `/${NAMESPACE}/${id}` });
    makeBundle(bundle, options.change?.(specification) ?? specification);
    this.#bundles.add(bundle);
    const stdio = await makeStdio(bundle, "init", terminal);
    try {
      const request = { id, bundle, rootfs, ...stdio.paths, stdout: options.stdout ?? stdio.paths.stdout };
      await this.timed("create", () => this.shim.call(Task, "Create", request, callOptions(this.#options)));
    } catch (error) {
      stdio.close();
      this.forget(bundle);
      throw error;
    }
    return new PodContainer(this, id, bundle, stdio, this.#options.signal);
  }

  /** Has a container run until it ends by itself, and deletes it; returns its exit code. */
  async runContainer(options: ContainerOptions): Promise<number> {
    const container = await this.createContainer(options);
    await container.start();
    await container.wait();
    return await container.delete();
  }

  timed<T>(phase: Phase, work: () => Promise<T>): Promise<T> {
    return timed(this.#options, phase, work);
  }

  /** Removes the bundle of a container that is gone, in which the shim must have left no mount. */
  forget(bundle: string): void {
    const left = mountsBelow(bundle);
    if (left.length > 0) throw new Error(`the shim left mounts in a bundle: ${left.join(", ")}`);
    rmSync(bundle, { recursive: true, force: true });
    this.#bundles.delete(bundle);
  }

  get specs(): PodSpecs {
    return this.#options.specs ?? linuxSpecs;
  }

  /** The serving process. */
  async shimPid(): Promise<number> {
    return (await this.shim.call(Task, "Connect", { id: this.#options.id })).shimPid;
  }

  /**
   * Stops the sandbox, lets the shim end, and runs `delete`.
   *
   * @param hangsUp whether the connection is closed as soon as the last answer is there: for a client that does not do
   *   that, the shim leaves it open for half a second.
   */
  async remove({ hangsUp = false }: { readonly hangsUp?: boolean } = {}): Promise<void> {
    const { id, form } = this.#options;
    await this.timed("stop", () => (form === "Task API" ? this.#killTask() : this.#stopSandbox()));
    await this.timed("end", async () => {
      await (form === "Task API"
        ? this.shim.call(Task, "Shutdown", { id })
        : this.shim.call(Sandbox, "ShutdownSandbox", { sandboxId: id }));
      if (hangsUp) this.shim.close();
      await this.shim.closed;
      await this.abandon();
    });
  }

  async #stopSandbox(): Promise<void> {
    await this.shim.call(Sandbox, "StopSandbox", { sandboxId: this.#options.id, timeoutSecs: STOP_SECONDS });
  }

  async #killTask(): Promise<void> {
    const { id } = this.#options;
    await this.shim.call(Task, "Kill", { id, signal: SIGKILL, all: true });
    await this.shim.call(Task, "Wait", { id });
    await this.shim.call(Task, "Delete", { id });
  }

  /** Runs `delete`, whatever state the sandbox is in. Repeatable. */
  async abandon(): Promise<void> {
    if (!this.#serving) return;
    this.#serving = false;
    try {
      await this.shim.delete();
    } finally {
      await this.sink.close();
      for (const bundle of [...this.#bundles, this.identity.bundle]) await removeBundle(bundle);
    }
  }
}

export class PodContainer {
  readonly id: string;
  readonly bundle: string;
  readonly stdio: ClientStdio;
  readonly #pod: Pod;
  readonly #options: { readonly signal?: AbortSignal };

  constructor(pod: Pod, id: string, bundle: string, stdio: ClientStdio, signal: AbortSignal | undefined) {
    this.#pod = pod;
    this.id = id;
    this.bundle = bundle;
    this.stdio = stdio;
    this.#options = callOptions({ ...(signal && { signal }) });
  }

  /** Starts its init process; returns the pid in the guest. */
  async start(): Promise<number> {
    const { id } = this;
    return (await this.#pod.timed("start task", () => this.#pod.shim.call(Task, "Start", { id }, this.#options))).pid;
  }

  /** Waits until the init process, or an exec, has ended; returns its exit code. */
  async wait(execId = ""): Promise<number> {
    return (await this.#pod.shim.call(Task, "Wait", { id: this.id, execId }, this.#options)).exitStatus;
  }

  /** @param request whether all of the container's processes get the signal, or an exec instead of init. */
  async kill(signal: number, request: { readonly all?: boolean; readonly execId?: string } = {}): Promise<void> {
    await this.#pod.shim.call(Task, "Kill", { id: this.id, signal, ...request }, this.#options);
  }

  /** Starts a further process. Its stdio is the caller's to close. */
  async exec(execId: string, options: ProcessOptions): Promise<ClientStdio> {
    const stdio = await makeStdio(this.bundle, execId, options.terminal ?? false);
    try {
      await this.addExec(execId, options, stdio.paths);
      await this.startExec(execId);
    } catch (error) {
      stdio.close();
      throw error;
    }
    return stdio;
  }

  /** Adds a further process, with stdio as the request names it: none where it says nothing. */
  async addExec(
    execId: string,
    options: ProcessOptions,
    stdio: { readonly stdin?: string; readonly stdout?: string; readonly stderr?: string },
  ): Promise<void> {
    const spec = { type_url: PROCESS_TYPE, value: Buffer.from(JSON.stringify(this.#pod.specs.process(options))) };
    const request = { id: this.id, execId, spec, terminal: options.terminal ?? false, ...stdio };
    await this.#pod.shim.call(Task, "Exec", request, this.#options);
  }

  async startExec(execId: string): Promise<number> {
    return (await this.#pod.shim.call(Task, "Start", { id: this.id, execId }, this.#options)).pid;
  }

  async closeStdin(execId = ""): Promise<void> {
    await this.#pod.shim.call(Task, "CloseIO", { id: this.id, execId, stdin: true }, this.#options);
  }

  /** Deletes an exec that has ended. */
  async deleteExec(execId: string): Promise<number> {
    return (await this.#pod.shim.call(Task, "Delete", { id: this.id, execId }, this.#options)).exitStatus;
  }

  /** Deletes the container, which has ended; returns its exit code. */
  async delete(): Promise<number> {
    const { id } = this;
    const { exitStatus } = await this.#pod.timed("delete", () =>
      this.#pod.shim.call(Task, "Delete", { id }, this.#options),
    );
    this.stdio.close();
    this.#pod.forget(this.bundle);
    return exitStatus;
  }
}

/** A folder of this machine as the root file system of a container, which cannot write to it. */
export function readOnlyRoot(source: string): readonly Mount[] {
  return [{ type: "bind", source, options: ["rbind", "ro"] }];
}

function makeBundle(bundle: string, spec: object): void {
  mkdirSync(join(bundle, "rootfs"), { recursive: true, mode: 0o711 });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
}

function eventSocketIn(directory: string): string {
  const name = basename(directory);
  return process.platform === "win32"
    ? String.raw`\\.\pipe\uvm-shim-client-${name}.ttrpc`
    : join(directory, "events.sock");
}

/** Nobody mounts anything on a Windows host. */
function mountsBelow(directory: string): string[] {
  if (process.platform === "win32") return [];
  const points = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).map((mount) => mount.point);
  return points.filter((point) => point.startsWith(`${directory}/`));
}

/** Removes a bundle after an unexpected end as containerd does: it unmounts first what is left there. */
async function removeBundle(bundle: string): Promise<void> {
  for (const point of mountsBelow(bundle).reverse()) await runCommand("umount", ["--lazy", point]);
  rmSync(bundle, { recursive: true, force: true });
}

function callOptions(options: { readonly signal?: AbortSignal }): { readonly signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

async function timed<T>(options: PodOptions, phase: Phase, work: () => Promise<T>): Promise<T> {
  options.observer?.begins(phase);
  const started = performance.now();
  const result = await work();
  options.observer?.ended(phase, performance.now() - started);
  return result;
}

/** As containerd hands it on. */
function podConfiguration(configuration: runtime.v1.PodSandboxConfig.Input) {
  const value = PodSandboxConfig.encode(configuration).finish();
  return { type_url: "runtime.v1.PodSandboxConfig", value };
}
