/** What the emulated host asks of a kind of guest. Kinds know how to boot a machine and to plug devices into it. */
import type { LinuxKernelDirect, Plan9Share } from "@uvm-shim/hcs-schema";
import type { VirtualSwitch } from "./networks/switches.ts";
import type { AssignableFunction } from "./system/assignable-devices.ts";
import type { DiskFile } from "./system/disk-file.ts";

export interface GuestKind {
  readonly name: string;
  /** Whether the boot files of a document are meant for this kind. Throws an HcsFailure when they cannot be read. */
  recognises(boot: LinuxKernelDirect): boolean;
  create(specification: GuestMachineSpecification): GuestMachine;
  /** Ends and removes what a machine left whose host was killed; its directory is the caller's. */
  removeLeftovers(name: string, podGroup?: string): Promise<void>;
  /** Removes what the machines had in common. */
  close(): void;
}

export interface GuestMachineSpecification {
  /** Short name, unique on this machine. */
  readonly name: string;
  /** The VM's own directory, which holds its hvsockets. */
  readonly directory: string;
  readonly boot: LinuxKernelDirect;
  readonly memoryMb: number;
  readonly processors: number;
  readonly limits: ProcessorShare;
  /** The processors of this machine that it may use, as cpusets list them; undefined: all. */
  readonly cpus: string | undefined;
  /** The cgroup of the pod that it is to lie below, from the root of each hierarchy; undefined: it lies by itself. */
  readonly podGroup: string | undefined;
}

/** What a machine may have of its processors, as HCS counts it; what is absent stays as it is. */
export interface ProcessorShare {
  /** Thousandths of a percent. */
  readonly limit?: number;
  readonly weight?: number;
}

/** What the machine has used, measured. */
export interface MachineUsage {
  readonly processorNs: number;
  readonly processorUserNs: number;
  readonly processorKernelNs: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
}

export interface GuestEnd {
  /** Whether the guest ended itself in good order. */
  readonly orderly: boolean;
  readonly reason: string;
  /** The last lines of its console. */
  readonly console: string;
}

export interface DiskSlot {
  readonly controller: number;
  readonly lun: number;
}

export interface GuestNic {
  /** GUID by which the guest is told of it. */
  readonly id: string;
  /** With colons. */
  readonly macAddress: string;
  /** What its cable leads to. */
  readonly switch: VirtualSwitch;
}

export interface GuestMachine {
  /** Resolves when the guest is up; called once. Rejects with an HcsFailure, and then the machine ends by itself. */
  boot(): Promise<void>;
  /** Resolves once after `boot`, when the machine has ended, however it did, and all that it held is given back. */
  readonly ended: Promise<GuestEnd>;
  attachDisk(slot: DiskSlot, disk: DiskFile): Promise<void>;
  detachDisk(slot: DiskSlot): Promise<void>;
  addShare(share: Plan9Share): Promise<void>;
  removeShare(accessName: string): Promise<void>;
  assignDevice(vmBusGuid: string, device: AssignableFunction): Promise<void>;
  unassignDevice(vmBusGuid: string): Promise<void>;
  /** Lets the guest's containers join a network namespace of this machine; `id` is the network service's. */
  offerNetwork(id: string, path: string): Promise<void>;
  addNic(nic: GuestNic): Promise<void>;
  /** Pulls the cable of a NIC that stays. */
  disconnectNic(id: string): Promise<void>;
  removeNic(id: string): Promise<void>;
  resizeMemory(memoryMb: number): Promise<void>;
  limitProcessors(share: ProcessorShare): Promise<void>;
  /** Keeps it to these processors of this machine; undefined: all. */
  useProcessors(cpus: string | undefined): Promise<void>;
  usage(): MachineUsage;
  /** Stops all that runs in the guest where it stands, or lets it go on. */
  freeze(isFrozen: boolean): Promise<void>;
  /** Asks the guest to end. */
  shutdown(): void;
  /** Ends it at once. Repeatable. */
  kill(): void;
}
