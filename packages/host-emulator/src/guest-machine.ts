/** A kind of guest, as the emulated host uses it: boots machines and plugs devices into them. */
import type { LinuxKernelDirect, Plan9Share, VirtualSmbShare } from "@uvm-shim/hcs-schema";
import type { VirtualSwitch } from "./networks/switches.ts";
import type { AssignableFunction } from "./system/assignable-devices.ts";
import type { DiskFile } from "./system/disk-file.ts";

/** What a machine boots, by its document. */
export type GuestBoot = LinuxBoot | WindowsBoot;

/** A document that boots a Linux kernel directly. */
export interface LinuxBoot {
  readonly kind: "Linux";
  readonly kernel: LinuxKernelDirect;
}

/** The boot manager of Windows, which the firmware reads from a VSMB share. */
export interface WindowsBoot {
  readonly kind: "Windows";
  /** The share's name. */
  readonly share: string;
  /** The share's folder. */
  readonly os: string;
  /** The file that the firmware runs. */
  readonly manager: string;
}

/** A kind of guest that a host can run, such as processes of this machine. */
export interface GuestKind {
  readonly name: string;
  /** Whether its guests can have disks in a VHDX. */
  readonly readsVhdx: boolean;
  /** Whether the boot files of a document are for this kind. Throws an HcsFailure if they cannot be read. */
  recognises(boot: GuestBoot): boolean;
  create(specification: GuestMachineSpecification): GuestMachine;
  /** Ends and removes a machine of a killed host. The caller removes its directory. */
  removeLeftovers(name: string, podGroup?: string): Promise<void>;
  /** Removes everything that the machines share. */
  close(): void;
}

/** What a guest's machine is made from. */
export interface GuestMachineSpecification {
  /** Short name, unique on this machine. */
  readonly name: string;
  /** Directory of the VM with its hvsockets. */
  readonly directory: string;
  readonly boot: GuestBoot;
  readonly memoryMb: number;
  readonly processors: number;
  readonly limits: ProcessorShare;
  /** Allowed processors in the form of cpusets; undefined for all. */
  readonly cpus: string | undefined;
  /** The Unix socket that stands for the pipe of its serial port; undefined for a machine without one. */
  readonly serialSocket: string | undefined;
  /** The pod's cgroup, as path from the root of each hierarchy; undefined for a VM without one. */
  readonly podGroup: string | undefined;
}

/** Processor limits in units of HCS; absent ones stay unchanged. */
export interface ProcessorShare {
  /** In thousandths of a percent. */
  readonly limit?: number;
  readonly weight?: number;
}

/** Measured usage of the machine. */
export interface MachineUsage {
  readonly processorNs: number;
  readonly processorUserNs: number;
  readonly processorKernelNs: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
}

/** How a guest's machine ended. */
export interface GuestEnd {
  /** Whether the guest shut down in order. */
  readonly orderly: boolean;
  readonly reason: string;
  /** Last lines of the console. */
  readonly console: string;
}

/** Where a disk is attached: number of the SCSI controller and LUN. */
export interface DiskSlot {
  readonly controller: number;
  readonly lun: number;
}

/** A NIC of the guest. */
export interface GuestNic {
  /** GUID of the NIC in the guest. */
  readonly id: string;
  /** MAC address with colons. */
  readonly macAddress: string;
  /** The switch or interface it is connected to. */
  readonly switch: VirtualSwitch;
}

/** A guest's machine. Calls reject with an HcsFailure. */
export interface GuestMachine {
  /** Resolves when the guest is up; called once. Rejects with an HcsFailure; the machine then ends by itself. */
  boot(): Promise<void>;
  /** Resolves after `boot` when the machine has ended in any way and all its resources are released. */
  readonly ended: Promise<GuestEnd>;
  attachDisk(slot: DiskSlot, disk: DiskFile): Promise<void>;
  detachDisk(slot: DiskSlot): Promise<void>;
  addShare(share: Plan9Share): Promise<void>;
  removeShare(accessName: string): Promise<void>;
  /** Absent, like the four below, where the guest has no VSMB. */
  addVsmbShare?(share: VirtualSmbShare): Promise<void>;
  /** Changes the files that a share is restricted to. */
  updateVsmbShare?(share: VirtualSmbShare): Promise<void>;
  removeVsmbShare?(name: string): Promise<void>;
  /** Offers a named pipe of the host to the guest. `path` begins with `\\.\pipe\`. */
  mapPipe?(path: string): Promise<void>;
  unmapPipe?(path: string): Promise<void>;
  assignDevice(vmBusGuid: string, device: AssignableFunction): Promise<void>;
  unassignDevice(vmBusGuid: string): Promise<void>;
  /** Lets containers of the guest join a network namespace of this machine. `id` is that of its HCN namespace. */
  offerNetwork(id: string, path: string): Promise<void>;
  addNic(nic: GuestNic): Promise<void>;
  /** Disconnects a NIC without removing it. */
  disconnectNic(id: string): Promise<void>;
  removeNic(id: string): Promise<void>;
  /** Moves a running machine without containers below the cgroup of a pod. After a failure it has to be killed. */
  enterPodGroup(path: string): Promise<void>;
  resizeMemory(memoryMb: number): Promise<void>;
  limitProcessors(share: ProcessorShare): Promise<void>;
  /** Restricts the machine to these processors; undefined for all. */
  useProcessors(cpus: string | undefined): Promise<void>;
  usage(): MachineUsage;
  /** Freezes or thaws the guest. */
  freeze(isFrozen: boolean): Promise<void>;
  /** Asks the guest to shut down. */
  shutdown(): void;
  /** Ends the machine at once. Idempotent. */
  kill(): void;
}
