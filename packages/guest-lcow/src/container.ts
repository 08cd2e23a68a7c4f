import {
  type ContainerNotification,
  GcsError,
  type GuestRequests,
  type NotificationType,
  type ProcessOwner,
  type ProcessSurroundings,
} from "@uvm-shim/gcs-bridge";
import type { CgroupMetrics, LinuxProcessParameters, OciLinuxResources } from "@uvm-shim/hcs-schema";
import { OomWatch } from "./oom-watch.ts";
import { LinuxProcess, sigkill, signalProcess } from "./process.ts";
import { processIds, statistics } from "./properties.ts";

/** What a `LinuxContainer` is made from: the guest's capabilities decide what can be asked of it. */
export interface LinuxContainerOptions {
  readonly surroundings: ProcessSurroundings;
  readonly canDeleteState: boolean;
  readonly canPause: boolean;
  /** Called when the guest has deleted the container's state. */
  readonly onForgotten: () => void;
}

/** Concurrent requests of one signal to all processes, of which a guest may list thousands. */
const signalledAtOnce = 64;

/** A container in a Linux guest. */
export class LinuxContainer {
  readonly id: string;
  /** Resolves with the kind of exit when the guest reports it. */
  readonly exited: Promise<NotificationType>;
  readonly #options: LinuxContainerOptions;
  readonly #requests: GuestRequests;
  readonly #oomWatch: OomWatch;
  #resolveExited: (type: NotificationType) => void = () => {};

  constructor(id: string, options: LinuxContainerOptions) {
    this.id = id;
    this.#options = options;
    this.#requests = options.surroundings.requests;
    this.#oomWatch = new OomWatch(id, options.surroundings.options, (abort) => this.metrics(abort));
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  async start(signal?: AbortSignal): Promise<void> {
    await this.#requests.request("start", this.id, {}, signal);
  }

  /** See LinuxProcess.execute. */
  async execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<LinuxProcess> {
    const isInit = parameters.OCIProcess === undefined;
    const owner: ProcessOwner = {
      id: this.id,
      // The guest holds back the exit of an init with unread output until the whole container is ended.
      kill: (pid) => (isInit ? this.terminate() : signalProcess(this.#requests, this.id, pid, sigkill)),
      exiting: (status) => (isInit ? this.#oomWatch.end(status) : this.#oomWatch.processExited(status)),
    };
    const process = await LinuxProcess.execute(this.#options.surroundings, owner, parameters, signal);
    if (isInit) this.#oomWatch.start();
    return process;
  }

  processIds(signal?: AbortSignal): Promise<readonly number[]> {
    return processIds(this.#requests, this.id, signal);
  }

  /** Counters of the guest's kernel for the container. */
  async metrics(signal?: AbortSignal): Promise<CgroupMetrics> {
    const metrics = await statistics(this.#requests, this.id, signal);
    this.#oomWatch.saw(metrics);
    return metrics;
  }

  /** Changes the container's limits; those that are absent stay. */
  async update(resources: OciLinuxResources, signal?: AbortSignal): Promise<void> {
    const Request = {
      ResourceType: "ContainerConstraints",
      RequestType: "Update",
      Settings: { Linux: resources },
    } as const;
    await this.#requests.request("modifySettings", this.id, { Request }, signal);
  }

  /** Freezes every process. */
  pause(signal?: AbortSignal): Promise<void> {
    return this.#freeze(true, signal);
  }

  resume(signal?: AbortSignal): Promise<void> {
    return this.#freeze(false, signal);
  }

  async #freeze(Frozen: boolean, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#options.canPause) {
      throw new GcsError(
        "Unimplemented",
        "the guest does not support pausing: capability PauseContainerSupported is missing",
        {
          procedure: "modifySettings",
          containerId: this.id,
        },
      );
    }
    const Request = { ResourceType: "ContainerFreezer", RequestType: "Update", Settings: { Frozen } } as const;
    await this.#requests.request("modifySettings", this.id, { Request }, signal);
  }

  /** The listener is called whenever the guest's kernel has killed a process of the container for lack of memory. */
  onOutOfMemory(listener: () => void): void {
    this.#oomWatch.onKill(listener);
  }

  /**
   * Signals every process of the container. The protocol has such a message only for SIGKILL (a forced shutdown); any
   * other signal is sent to each process that the guest lists. Processes that end meanwhile count as signalled.
   */
  async signalAll(signal: number, abort?: AbortSignal): Promise<void> {
    if (signal === sigkill) {
      await this.terminate(abort);
      return;
    }
    const pids = await this.processIds(abort);
    const refusals: unknown[] = [];
    for (let next = 0; next < pids.length; next += signalledAtOnce) {
      const outcomes = await Promise.allSettled(
        pids
          .slice(next, next + signalledAtOnce)
          .map((pid) => unlessNotFound(signalProcess(this.#requests, this.id, pid, signal, abort))),
      );
      for (const outcome of outcomes) if (outcome.status === "rejected") refusals.push(outcome.reason);
      // A guest that does not answer these requests will not answer the rest.
      if (refusals.some((refusal) => !isAnswer(refusal))) break;
    }
    if (refusals.length > 0) throw refusals[0];
  }

  async terminate(signal?: AbortSignal): Promise<void> {
    await unlessGone(this.#requests.request("shutdownForced", this.id, {}, signal));
  }

  async deleteState(signal?: AbortSignal): Promise<void> {
    if (this.#options.canDeleteState) {
      await unlessGone(this.#requests.request("deleteContainerState", this.id, {}, signal));
    }
    this.#oomWatch.stop();
    this.#options.onForgotten();
  }

  notified(notification: ContainerNotification): void {
    switch (notification.type) {
      case "GracefulExit":
      case "ForcedExit":
      case "UnexpectedExit":
      case "Unknown":
        this.#resolveExited(notification.type);
        break;
      case "OutOfMemory":
        this.#oomWatch.killReported();
        break;
      case "None":
      case "Reboot":
      case "Constructed":
      case "Started":
      case "Paused":
        break;
    }
  }
}

function isAnswer(error: unknown): boolean {
  return error instanceof GcsError && error.hresult !== undefined;
}

async function unlessGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof GcsError && error.gone)) throw error;
  }
}

async function unlessNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof GcsError && error.code === "NotFound")) throw error;
  }
}
