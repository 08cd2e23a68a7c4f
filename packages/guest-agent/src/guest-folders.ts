/** Folders of the guest that host, agent and runtime agree on. */
export const guestFolders = {
  /** The hvsockets of the VM, as the emulated host keeps them. */
  hvsockets: "/run/hvsocket",
  /** Below it the emulated host attaches each Plan9 share under the share's name. */
  plan9Shares: "/run/host/plan9",
  /** Device nodes of SCSI disks: `<controller>/<lun>`, made by the emulated host. */
  scsiDevices: "/dev/scsi",
  /** Assigned devices by VMBus GUID: a folder each, made by the emulated host. */
  assignedDevices: "/dev/vpci",
  /** State of the OCI runtime. */
  runtimeState: "/run/oci",
  /** Files that the agent and the runtime pass to each other during one call. */
  scratch: "/run/agent",
  cgroups: "/sys/fs/cgroup",
} as const;
