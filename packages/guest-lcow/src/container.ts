import { type ContainerNotification, Fields, GcsError, type NotificationType } from "@uvm-shim/gcs-bridge";
import {
  type CgroupMetrics,
  checkCgroupMetrics,
  type LinuxProcessParameters,
  type OciLinuxResources,
} from "@uvm-shim/hcs-schema";
import { LinuxProcess, type ProcessSurroundings, sigkill, signalProcess } from "./process.ts";
import type { GuestRequests } from "./requests.ts";

export interface LinuxContainerOptions {
  readonly surroundings: ProcessSurroundings;
  readonly canDeleteState: boolean;
  readonly canPause: boolean;
  /** Called when the guest keeps nothing of the container any more. */
  readonly onForgotten: () => void;
}

/** A container in a Linux guest. */
export class LinuxContainer {
  readonly id: string;
  /** Resolves with the kind of exit when the guest says that the container has ended. */
  readonly exited: Promise<NotificationType>;
  readonly #options: LinuxContainerOptions;
  readonly #requests: GuestRequests;
  #onOutOfMemory: () => void = () => {};
  #resolveExited: (type: NotificationType) => void = () => {};

  constructor(id: string, options: LinuxContainerOptions) {
    this.id = id;
    this.#options = options;
    this.#requests = options.surroundings.requests;
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  async start(signal?: AbortSignal): Promise<void> {
    await this.#requests.request("start", this.id, {}, signal);
  }

  /** See LinuxProcess.execute. */
  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<LinuxProcess> {
    return LinuxProcess.execute(this.#options.surroundings, this.id, parameters, signal);
  }

  processIds(signal?: AbortSignal): Promise<readonly number[]> {
    return this.#query(
      "ProcessList",
      (properties) =>
        Fields.parse(properties, "Properties").list("ProcessList", (item, path) =>
          new Fields(item, path).integer("ProcessId", 1, 0x7fffffff),
        ),
      signal,
    );
  }

  /** What the guest's kernel has counted for the container. */
  metrics(signal?: AbortSignal): Promise<CgroupMetrics> {
    return this.#query("Statistics", (properties) => checkCgroupMetrics(JSON.parse(properties), "Properties"), signal);
  }

  /** Changes the container's limits; what is absent stays as it is. */
  async update(resources: OciLinuxResources, signal?: AbortSignal): Promise<void> {
    const Request = {
      ResourceType: "ContainerConstraints",
      RequestType: "Update",
      Settings: { Linux: resources },
    } as const;
    await this.#requests.request("modifySettings", this.id, { Request }, signal);
  }

  /** Stops every process where it stands. */
  pause(signal?: AbortSignal): Promise<void> {
    return this.#freeze(true, signal);
  }

  resume(signal?: AbortSignal): Promise<void> {
    return this.#freeze(false, signal);
  }

  async #freeze(Frozen: boolean, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#options.canPause) {
      throw new GcsError("Unimplemented", "the guest lacks the capability PauseContainerSupported", {
        procedure: "modifySettings",
        containerId: this.id,
      });
    }
    const Request = { ResourceType: "ContainerFreezer", RequestType: "Update", Settings: { Frozen } } as const;
    await this.#requests.request("modifySettings", this.id, { Request }, signal);
  }

  /** Has the listener called whenever the guest tells that it has killed something of it for want of memory. */
  onOutOfMemory(listener: () => void): void {
    this.#onOutOfMemory = listener;
  }

  async #query<T>(type: string, read: (properties: string) => T, signal: AbortSignal | undefined): Promise<T> {
    const Query = JSON.stringify({ PropertyTypes: [type] });
    const { Properties } = await this.#requests.request("getProperties", this.id, { Query }, signal);
    try {
      return read(Properties);
    } catch (cause) {
      const message = `invalid answer of the guest: ${(cause as Error).message}`;
      throw new GcsError("Internal", message, { procedure: "getProperties", containerId: this.id, cause });
    }
  }

  /**
   * Signals every process of the container. The protocol has a message for that only for SIGKILL (a forced shutdown);
   * any other signal goes to each process that the guest lists, and those that end meanwhile count as signalled.
   */
  async signalAll(signal: number, abort?: AbortSignal): Promise<void> {
    if (signal === sigkill) {
      await this.terminate(abort);
      return;
    }
    const pids = await this.processIds(abort);
    const outcomes = await Promise.allSettled(
      pids.map((pid) => unlessNotFound(signalProcess(this.#requests, this.id, pid, signal, abort))),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async terminate(signal?: AbortSignal): Promise<void> {
    await unlessGone(this.#requests.request("shutdownForced", this.id, {}, signal));
  }

  async deleteState(signal?: AbortSignal): Promise<void> {
    if (this.#options.canDeleteState) {
      await unlessGone(this.#requests.request("deleteContainerState", this.id, {}, signal));
    }
    this.#options.onForgotten();
  }

  /** Takes what the guest tells of this container. */
  notified(notification: ContainerNotification): void {
    switch (notification.type) {
      case "GracefulExit":
      case "ForcedExit":
      case "UnexpectedExit":
      case "Unknown":
        this.#resolveExited(notification.type);
        break;
      case "OutOfMemory":
        this.#onOutOfMemory();
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
