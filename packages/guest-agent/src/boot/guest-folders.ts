/** Folders of the guest that host, agent and runtime agree on. */
export const guestFolders = {
  /** Below it the emulated host attaches each Plan9 share under the share's name. */
  plan9Shares: "/run/host/plan9",
  /** Device nodes of SCSI disks: `<controller>/<lun>`, made by the emulated host. */
  scsiDevices: "/dev/scsi",
  /** Assigned devices by VMBus GUID: a folder each, made by the emulated host. */
  assignedDevices: "/dev/vpci",
  /** Network namespaces of the host's that containers join, by the ids that the host tells: made by the emulated host. */
  joinedNetworks: "/run/host/networks",
  /** A file for each NIC that stands in one of these, named as the interface of any other NIC is. */
  joinedNics: "/run/host/nics",
  /** State of the OCI runtime. */
  runtimeState: "/run/oci",
  /** Files that the agent and the runtime pass to each other during one call. */
  scratch: "/run/agent",
  cgroups: "/sys/fs/cgroup",
} as const;
