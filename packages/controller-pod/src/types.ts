/** What the pod controller asks of its VM and of the containers in it; controller-vm and controller-container satisfy it. */

export interface PodVm {
  start(signal?: AbortSignal): Promise<void>;
  /** Resolves once, however the VM ended. */
  wait(signal?: AbortSignal): Promise<PodVmExit>;
  terminate(signal?: AbortSignal): Promise<void>;
  readonly startedAt: Date | undefined;
}

export interface PodVmExit {
  readonly status: number;
  readonly exitedAt: Date;
  readonly reason: string;
}

export interface PodContainer {
  readonly id: string;
  /** Ends every process of it, at once; idempotent. */
  terminate(signal?: AbortSignal): Promise<void>;
  /** Gives back all that it holds; idempotent, repeatable. */
  delete(signal?: AbortSignal): Promise<unknown>;
  /** Called when the VM is gone: gives every process an exit and forgets what the VM held. */
  vmExited(exit: PodVmExit): void;
}
