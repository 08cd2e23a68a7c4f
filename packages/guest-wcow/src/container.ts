import {
  type ContainerNotification,
  GcsError,
  type GuestRequests,
  type NotificationType,
  type ProcessOwner,
} from "@uvm-shim/gcs-bridge";
import type {
  WindowsContainerChange,
  WindowsContainerStatistics,
  WindowsProcessDetails,
  WindowsProcessParameters,
} from "@uvm-shim/hcs-schema";
import { terminateProcess, WindowsProcess, type WindowsSurroundings } from "./process.ts";
import { processList, statistics, systemGuid } from "./properties.ts";

/** What a `WindowsContainer` is made from: the guest's capabilities decide what can be asked of it. */
export interface WindowsContainerOptions {
  readonly surroundings: WindowsSurroundings;
  readonly canDeleteState: boolean;
  /** Called when the guest has deleted the container's state. */
  readonly onForgotten: () => void;
}

/** A container in a Windows guest. It outlives its init process: it ends when it is shut down or terminated. */
export class WindowsContainer {
  readonly id: string;
  /** Resolves with the kind of exit when the guest reports it. */
  readonly exited: Promise<NotificationType>;
  readonly #options: WindowsContainerOptions;
  readonly #requests: GuestRequests;
  #resolveExited: (type: NotificationType) => void = () => {};

  constructor(id: string, options: WindowsContainerOptions) {
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

  /** See WindowsProcess.execute. */
  execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<WindowsProcess> {
    const owner: ProcessOwner = {
      id: this.id,
      kill: (pid) => terminateProcess(this.#requests, this.id, pid),
      exiting: async () => {},
    };
    return WindowsProcess.execute(this.#options.surroundings, owner, parameters, signal);
  }

  processes(signal?: AbortSignal): Promise<readonly WindowsProcessDetails[]> {
    return processList(this.#requests, this.id, signal);
  }

  statistics(signal?: AbortSignal): Promise<WindowsContainerStatistics> {
    return statistics(this.#requests, this.id, signal);
  }

  /** By this id the host redirects hvsocket connections to the container. */
  systemGuid(signal?: AbortSignal): Promise<string> {
    return systemGuid(this.#requests, this.id, signal);
  }

  /** Changes limits, or adds a directory of the guest. */
  async modify(change: WindowsContainerChange, signal?: AbortSignal): Promise<void> {
    await this.#requests.request("modifySettings", this.id, { Request: change }, signal);
  }

  /** Asks the container to end; `exited` tells when it has, which may be never. */
  async shutdown(signal?: AbortSignal): Promise<void> {
    await unlessGone(this.#requests.request("shutdownGraceful", this.id, {}, signal));
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

  notified(notification: ContainerNotification): void {
    switch (notification.type) {
      case "GracefulExit":
      case "ForcedExit":
      case "UnexpectedExit":
      case "Unknown":
        this.#resolveExited(notification.type);
        break;
      case "OutOfMemory":
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
