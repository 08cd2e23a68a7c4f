/**
 * What the code behind the shim says of itself for diagnostics: the state of each part at one moment, and what it holds.
 * No part of it may be a secret: no environment, no annotation, no argument of a container.
 */

/** Where the VMs run. */
export interface HostDescription {
  readonly kind: "emulated" | "windows";
  /** The socket of an emulated host. */
  readonly address?: string;
  readonly connected: boolean;
}

/** Built by packages/controller-pod from the views of its controllers. */
export interface SandboxDescription {
  readonly vm: VmDescription;
  readonly containers: readonly ContainerDescription[];
  readonly disks: readonly DiskDescription[];
  readonly shares: readonly ShareDescription[];
  readonly networks: readonly NetworkDescription[];
  readonly devices: readonly DeviceDescription[];
  /** Folders that were shared for diagnosis. */
  readonly ownShares: readonly VmShare[];
  /** Programs of the VM itself that were started for diagnosis. */
  readonly programs: readonly ProgramDescription[];
}

/** What of a VM has been brought into it. */
export type DeviceDescriptions = Pick<SandboxDescription, "disks" | "shares" | "networks" | "devices">;

/** A VM at one moment. States are those of its state machine, for people. */
export interface VmDescription {
  readonly id: string;
  readonly runtimeId?: string;
  readonly state: string;
  readonly startedAt?: Date;
  readonly memoryInMb?: number;
  /** Whether the connection to its guest is gone. */
  readonly isLost: boolean;
  readonly exit?: { readonly status: number; readonly exitedAt: Date; readonly reason: string };
  /** Names of what it holds, in the order of acquisition. */
  readonly held: readonly string[];
}

/** A container at one moment, with the names of what it holds. */
export interface ContainerDescription {
  readonly id: string;
  readonly state: string;
  readonly held: readonly string[];
}

/** A disk at one moment, with its mounts in the guest. */
export interface DiskDescription {
  readonly hostPath: string;
  readonly controller: number;
  readonly lun: number;
  readonly state: string;
  readonly isOfDocument: boolean;
  readonly mounts: readonly {
    readonly guestPath: string;
    readonly partition: number;
    readonly state: string;
    readonly holders: number;
  }[];
}

/** A shared folder or a mapped pipe at one moment. */
export interface ShareDescription {
  readonly kind: "plan9" | "vsmb" | "pipe";
  readonly hostPath: string;
  /** Absent for pipes, which have no other name in the guest. */
  readonly name?: string;
  readonly state: string;
  /** The state of its mount in the guest, where it has one. */
  readonly mount?: string;
  readonly holders: number;
}

/** A pod's network at one moment, with its NICs. */
export interface NetworkDescription {
  readonly namespaceId: string;
  readonly state: string;
  readonly nics: readonly {
    readonly id: string;
    readonly endpointId: string;
    readonly name: string;
    readonly isComplete: boolean;
  }[];
}

/** An assigned device at one moment. */
export interface DeviceDescription {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
  readonly vmBusGuid: string;
  readonly state: string;
  readonly holders: number;
}

/** A program of the VM itself that diagnosis has started. */
export interface ProgramDescription {
  readonly id: string;
  /** Without its arguments, which may hold secrets. */
  readonly program: string;
  readonly pid: number;
  readonly state: string;
}

/** A folder of the host, or a single file in one, for the VM itself. Built by the shim's services; read by the apps. */
export interface VmShare {
  readonly hostPath: string;
  readonly kind: "directory" | "file";
  /** Where the guest shows the folder: for a file, the one that it is in. */
  readonly guestPath: string;
  readonly readOnly: boolean;
}
