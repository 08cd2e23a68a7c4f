/** Memory and processors of a running VM: their settings and their use (HCS schema 2). */

/** Settings of `resourcePaths.processorLimits`. */
export interface ProcessorLimits {
  /** Upper limit of the VM's processor time, in thousandths of a percent of its virtual processors: 1 to 100000. */
  readonly Limit?: number;
  /** Weight relative to other VMs, 1 to 10000; 100 by default. */
  readonly Weight?: number;
  /** Guaranteed processor time, in thousandths of a percent. */
  readonly Reservation?: number;
  readonly MaximumFrequencyMHz?: number;
}

/** Settings of `resourcePaths.cpuGroup`. */
export interface CpuGroup {
  /** GUID of a group that the host has. */
  readonly Id: string;
}

/**
 * Bounds and defaults of `ProcessorLimits`: all of the processors in thousandths of a percent, the greatest weight, and
 * the weight of a VM that sets none. Source: ProcessorLimits of the HCS schema.
 */
export const processorLimit = { unlimited: 100_000, heaviest: 10_000, defaultWeight: 100 } as const;

/** Guest memory is counted in pages of this size, whatever page size the guest uses. */
export const guestPageBytes = 4096;

/** Properties that a query of a compute system has to ask for. Others are always returned. */
export type SystemPropertyType = "Memory" | "Statistics";

/**
 * The property "Memory" of a VM: the number of its virtual NUMA nodes, and the counters. Source: MemoryInformationForVm
 * of the HCS schema.
 */
export interface MemoryInformation {
  readonly VirtualNodeCount?: number;
  readonly VirtualMachineMemory?: VirtualMachineMemoryCounters;
}

/**
 * What the host knows of a VM's memory. Reserved and assigned memory are pages of `guestPageBytes`, available memory
 * and its buffer what dynamic memory reports; the flags say whether smart paging, balancing or an operation of dynamic
 * memory is under way. Source: VmMemory of the HCS schema.
 */
export interface VirtualMachineMemoryCounters {
  readonly AvailableMemory?: number;
  readonly AvailableMemoryBuffer?: number;
  /** Pages. */
  readonly ReservedMemory?: number;
  /** Pages. */
  readonly AssignedMemory?: number;
  readonly SlpActive?: boolean;
  readonly BalancingEnabled?: boolean;
  readonly DmOperationInProgress?: boolean;
}

/**
 * The property "Statistics" of a VM: when it was measured, how long the VM has run, and its processor time, all times
 * in units of 100 ns. Source: Statistics of the HCS schema.
 */
export interface SystemStatistics {
  /** RFC 3339. */
  readonly Timestamp?: string;
  readonly Uptime100ns?: number;
  readonly Processor?: {
    readonly TotalRuntime100ns?: number;
    readonly RuntimeUser100ns?: number;
    readonly RuntimeKernel100ns?: number;
  };
}

/** Contents of the CrashReport event, for a guest that has crashed. */
export interface CrashReport {
  readonly SystemId?: string;
  readonly ActivityId?: string;
  /** The guest's last words. */
  readonly CrashLog?: string;
  /** Bug check code and parameters of a Windows guest. */
  readonly CrashParameters?: readonly number[];
}

/** One of the reasons why a system ended. */
export interface AttributionRecord {
  readonly WorkerExit?: {
    readonly ExitCode?: number;
    readonly Type?: string;
    readonly Detail?: string;
    readonly Initiator?: string;
  };
  readonly GuestCrash?: { readonly CrashParameters?: readonly number[] };
  readonly TripleFault?: { readonly ErrorType?: number };
  readonly InjectNonMaskableInterrupt?: Record<never, never>;
  readonly OperationFailure?: { readonly Detail?: string };
  readonly SystemExit?: { readonly Detail?: string; readonly Initiator?: string };
  readonly VirtualDeviceFailure?: {
    readonly Detail?: string;
    readonly Name?: string;
    readonly DeviceId?: string;
    readonly InstanceId?: string;
  };
}
