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
  /** What the containers of the pod share: `mounts`, `tmp`, `hugepages` and `logs`, made when first asked for. */
  pod: "/run/pod",
  cgroups: "/sys/fs/cgroup",
  /** Name resolution of the pod; containers have it mounted. */
  resolvConf: "/etc/resolv.conf",
} as const;
