/** Where a process guest finds what the emulated host plugs into it. The host makes all of this, the agent reads it. */

/** Folders of the guest that the host fills. */
export const guestFolders = {
  /** A folder for each Plan9 share, by its access name. */
  plan9Shares: "/run/host/plan9",
  /** A folder for each VSMB share of a Windows guest but the one that it boots from, by its name. */
  vsmbShares: "/run/host/vsmb",
  /** A Unix socket for each named pipe of the host; see `pipeSocket`. */
  pipes: "/run/host/pipes",
  /** Device nodes of SCSI disks and their partitions; see `diskNode`. */
  scsiDevices: "/dev/scsi",
  /** A folder for each assigned device; see `assignedDeviceFolder`. */
  assignedDevices: "/dev/vpci",
  /** Network namespaces of the host's machine that containers may join; see `joinedNetwork`. */
  joinedNetworks: "/run/host/networks",
  /** A file for each NIC in such a namespace, named as its interface would be; see `nicInterface`. */
  joinedNics: "/run/host/nics",
} as const;

/** What the folder of an assigned device holds. */
export const assignedDeviceFiles = {
  /** JSON that says what the device is. The host writes it last: who sees it sees the rest. */
  declaration: "device.json",
  /** The character device, if the device has one. */
  node: "device",
  /** The directory, if the device has one. */
  directory: "files",
} as const;

/** The node of a disk (partition 0) or of one of its partitions. */
export function diskNode(controller: number, lun: number, partition = 0): string {
  return `${guestFolders.scsiDevices}/${controller}/${lun}${partition === 0 ? "" : `p${partition}`}`;
}

/** Where a guest finds the device that was assigned under this VMBus GUID. */
export function assignedDeviceFolder(vmBusGuid: string): string {
  return `${guestFolders.assignedDevices}/${vmBusGuid.toLowerCase()}`;
}

/** The socket that stands for a named pipe of the host, by the pipe's name without its prefix. */
export function pipeSocket(name: string): string {
  return `${guestFolders.pipes}/${name.toLowerCase()}`;
}

/** The namespace of this id in HCN. */
export function joinedNetwork(id: string): string {
  return `${guestFolders.joinedNetworks}/${id.toLowerCase()}`;
}

/** Name of a NIC's interface, by the NIC's GUID. The kernel allows 15 characters. */
export function nicInterface(id: string): string {
  return `nic${id.replaceAll("-", "").slice(0, 12).toLowerCase()}`;
}
