/** VMs that run before there is a pod for them: what the pool of a sandboxer and the platforms need of each other. */

/** A VM that waits for a pod. Satisfied by apps/shim-lcow. */
export interface ReadyVm {
  /** Of its compute system. */
  readonly id: string;
  /** Resolves, with the reason, when it has ended. */
  readonly ended: Promise<string>;
  /** Whether the files that it booted from are still what they were. */
  isCurrent(): Promise<boolean>;
  /** Ends it and disconnects from its host. Can be repeated. */
  end(): Promise<void>;
}

/** What would be booted now. Satisfied by apps/shim-lcow. */
export interface PlannedVm {
  readonly memoryInMb: number;
  /** Resolves when it runs and its guest is connected. After a failure nothing of it is held. */
  boot(id: string, signal: AbortSignal): Promise<ReadyVm>;
}

/** The VMs that wait, as a pod sees them. Satisfied by the shim itself (sandboxer/vm-pool.ts). */
export interface ReadyVms {
  /**
   * A VM that is the pod's from then on; undefined if it has to boot one of its own, which the log then explains.
   * `refusal` says why a VM cannot become the pod's; undefined if it can.
   */
  take(refusal: (vm: ReadyVm) => string | undefined): Promise<ReadyVm | undefined>;
}
