/** What one mount of a container takes, and where the container sees it. */
export type MountPlan = ShareMount | DiskMount | GuestFolderMount | HostPipeMount | GuestPipeMount;

/** A directory or a file of the host, by VSMB. */
export interface ShareMount {
  readonly kind: "share";
  readonly hostPath: string;
  readonly what: "directory" | "file";
  readonly readOnly: boolean;
  readonly containerPath: string;
}

/** A disk of the host on the VM's SCSI controller, which the guest mounts. */
export interface DiskMount {
  readonly kind: "disk";
  readonly disk: {
    readonly hostPath: string;
    readonly readOnly: boolean;
    readonly type: "PassThru" | "VirtualDisk" | "ExtensibleVirtualDisk";
    /** Name of the provider of an ExtensibleVirtualDisk. */
    readonly extensibleVirtualDiskType?: string;
  };
  /** Whether the VM must be granted access to it first. */
  readonly needsGrant: boolean;
  readonly containerPath: string;
}

/** A folder of the guest. Those that are to be made are in the plan's `guestFolders` too. */
export interface GuestFolderMount {
  readonly kind: "guest-folder";
  readonly guestPath: string;
  readonly readOnly: boolean;
  readonly containerPath: string;
}

/** A named pipe of the host, to be mapped into the VM. */
export interface HostPipeMount {
  readonly kind: "host-pipe";
  readonly hostPath: string;
  /** What follows `\\.\pipe\` in the container. */
  readonly pipeName: string;
}

/** A named pipe of the VM: nothing is to be acquired. */
export interface GuestPipeMount {
  readonly kind: "guest-pipe";
  readonly guestPath: string;
  readonly pipeName: string;
}
