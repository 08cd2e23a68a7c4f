/**
 * What the pod controller needs of its VM and of its containers; satisfied by controller-vm and controller-container.
 */
import type { VmExit, VmStatistics, VmUpdate, VmView } from "@uvm-shim/controller-vm";
import type { Exit } from "@uvm-shim/lifecycle";

/** What the pod needs of its VM; satisfied by `VmController` of controller-vm. */
export interface PodVm {
  start(signal?: AbortSignal): Promise<void>;
  /** Resolves when the VM has ended, for whatever reason. */
  wait(signal?: AbortSignal): Promise<VmExit>;
  terminate(signal?: AbortSignal): Promise<void>;
  update(update: VmUpdate, signal?: AbortSignal): Promise<void>;
  /** Its current size. */
  readonly memoryInMb: number;
  statistics(signal?: AbortSignal): Promise<VmStatistics>;
  readonly startedAt: Date | undefined;
  /** Whether its guest is gone, which may be known before the VM's exit is reported. */
  readonly isLost: boolean;
  /** Stacks of the guest's own programs; undefined where the guest cannot dump them. */
  dumpStacks(signal?: AbortSignal): Promise<string | undefined>;
  /** The host's properties of it, as the host writes them. */
  properties(signal?: AbortSignal): Promise<object>;
  describe(): VmView;
}

/** What the pod needs of a container; satisfied by the controllers of Linux and of Windows containers. */
export interface PodContainer<Request> {
  readonly id: string;
  /** Its init process. Throws before the container has been created. */
  readonly init: PodProcess;
  /** After a failure, what could not be released is kept for `delete`. */
  create(request: Request, signal?: AbortSignal): Promise<void>;
  /** Changes its limits; `resources` are OCI resources as parsed JSON, unchecked. */
  update(resources: unknown, signal?: AbortSignal): Promise<void>;
  /** Kills all of its processes. Idempotent. */
  terminate(signal?: AbortSignal): Promise<void>;
  /** Releases all that it holds. Idempotent; repeatable after a failure. */
  delete(signal?: AbortSignal): Promise<Exit>;
  /** Called when the VM has exited: gives every process an exit and forgets what the VM held. */
  vmExited(exit: VmExit): void;
  describe(): ContainerView;
}

/** A container at one moment, for diagnostics. */
export interface ContainerView {
  readonly id: string;
  readonly state: string;
  /** Names of what it holds, in the order of acquisition. */
  readonly held: readonly string[];
}

/** What the pod needs of a container's init process. */
export interface PodProcess {
  /** Returns its pid in the guest. */
  start(signal?: AbortSignal): Promise<number>;
  /** Resolves once it has exited. */
  wait(signal?: AbortSignal): Promise<Exit>;
}

/** The pod's network in its VM; controller-network satisfies it. */
export interface PodNetwork<Request> {
  /**
   * Called when the VM has started: sets up the network that the pod itself names. Absent where the first container
   * decides.
   */
  open?(signal?: AbortSignal): Promise<void>;
  /** Sets the network up for a container that is about to be created, or brings it up to date. */
  prepare(request: Request, signal?: AbortSignal): Promise<void>;
  /** Tears the network down. Idempotent, repeatable; what ended with the VM counts as torn down. */
  teardown(signal?: AbortSignal): Promise<void>;
}

/** What the host can do for the pod's first container while the VM starts; satisfied by controller-container. */
export interface EarlyWork {
  /** Whoever needs it learns of a failure. */
  begin(): void;
  /** Undoes what no container has taken. Idempotent; repeatable after a failure. */
  release(): Promise<void>;
}

/** Decides whether the pod's VM is large enough for its containers; satisfied by sandbox-lcow. */
export interface PodSize<Request, Limits> {
  /** The limits of a new container; undefined for one that uses nothing. */
  limitsOf(request: Request): Limits | undefined;
  /** The limits of a container after an update; `resources` are OCI resources as parsed JSON, unchecked. */
  updated(limits: Limits, resources: unknown): Limits;
  judge(question: PodSizeQuestion<Limits>): PodSizeVerdict;
}

/** Whether a container fits, when it is made or given other limits. Sizes in MB. */
export interface PodSizeQuestion<Limits> {
  /** The limits of all containers, including the one in question. */
  readonly containers: readonly Limits[];
  readonly container: Limits;
  /** Its limits until now; undefined for a new container. */
  readonly before: Limits | undefined;
  /** The VM's current size. */
  readonly memoryInMb: number;
  /** Why that size is fixed, where it has been fixed since the VM was created. */
  readonly fixedSince: string | undefined;
}

/** The answer to a `PodSizeQuestion`; a warning is for whoever asked for the container. */
export type PodSizeVerdict =
  | { readonly kind: "enough"; readonly warning?: string }
  /** `isDemanded`: without the memory the container is refused; otherwise it is created even if the VM cannot grow. */
  | { readonly kind: "grow"; readonly memoryInMb: number; readonly isDemanded: boolean; readonly warning?: string }
  | { readonly kind: "refused"; readonly reason: string };
