/** What the pod controller asks of its VM and of the containers in it; controller-vm and controller-container satisfy it. */
import type { VmStatistics, VmUpdate } from "@uvm-shim/controller-vm";

export interface PodVm {
  start(signal?: AbortSignal): Promise<void>;
  /** Resolves once, however the VM ended. */
  wait(signal?: AbortSignal): Promise<PodVmExit>;
  terminate(signal?: AbortSignal): Promise<void>;
  update(update: VmUpdate, signal?: AbortSignal): Promise<void>;
  /** What it has now. */
  readonly memoryInMb: number;
  statistics(signal?: AbortSignal): Promise<VmStatistics>;
  readonly startedAt: Date | undefined;
  /** Whether its guest is gone, which shows before the VM's exit is told. */
  readonly isLost: boolean;
}

export interface PodVmExit {
  readonly status: number;
  readonly exitedAt: Date;
  readonly reason: string;
}

export interface PodExit {
  readonly status: number;
  readonly exitedAt: Date;
}

export interface PodContainer<Request> {
  readonly id: string;
  /** Its first process. Throws before it has been created. */
  readonly init: PodProcess;
  /** When it fails, what could not be given back is kept for `delete`. */
  create(request: Request, signal?: AbortSignal): Promise<void>;
  /** Changes its limits; `resources` are OCI resources as parsed JSON, unchecked. */
  update(resources: unknown, signal?: AbortSignal): Promise<void>;
  /** Ends every process of it, at once; idempotent. */
  terminate(signal?: AbortSignal): Promise<void>;
  /** Gives back all that it holds; idempotent, repeatable. */
  delete(signal?: AbortSignal): Promise<PodExit>;
  /** Called when the VM is gone: gives every process an exit and forgets what the VM held. */
  vmExited(exit: PodVmExit): void;
}

export interface PodProcess {
  /** Resolves with its pid in the guest. */
  start(signal?: AbortSignal): Promise<number>;
  /** Resolves once it has exited. */
  wait(signal?: AbortSignal): Promise<PodExit>;
}

/** The pod's network in its VM; controller-network satisfies it. */
export interface PodNetwork<Request> {
  /** Sets it up for a container that is about to be created, or brings it up to date. */
  prepare(request: Request, signal?: AbortSignal): Promise<void>;
  /** Takes it down. Idempotent, repeatable; what ended with the VM counts as taken down. */
  teardown(signal?: AbortSignal): Promise<void>;
}

/** Whether the pod's VM is large enough for its containers; sandbox-lcow satisfies it. */
export interface PodSize<Request, Limits> {
  /** What a new container may take; undefined for one that takes nothing. */
  limitsOf(request: Request): Limits | undefined;
  /** What a container may take after an update; `resources` are OCI resources as parsed JSON, unchecked. */
  updated(limits: Limits, resources: unknown): Limits;
  judge(question: PodSizeQuestion<Limits>): PodSizeVerdict;
}

export interface PodSizeQuestion<Limits> {
  /** What all containers may take, with the one in question. */
  readonly containers: readonly Limits[];
  readonly container: Limits;
  /** What it had until now; undefined for one that is new. */
  readonly before: Limits | undefined;
  /** What the VM has now. */
  readonly memoryInMb: number;
  /** Why that stays as it is, where it has come to be so since the VM was made. */
  readonly fixedSince: string | undefined;
}

export type PodSizeVerdict =
  | { readonly kind: "enough"; readonly warning?: string }
  /** `isDemanded`: otherwise the container is made all the same where the VM does not grow. */
  | { readonly kind: "grow"; readonly memoryInMb: number; readonly isDemanded: boolean; readonly warning?: string }
  | { readonly kind: "refused"; readonly reason: string };
