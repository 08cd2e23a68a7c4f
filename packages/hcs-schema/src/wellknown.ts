/** Well-known ids of the host and guest protocols (microsoft/hcsshim, internal/gcs/prot and internal/protocol). */

/** SCSI controllers of a utility VM by controller number: version-5 GUIDs that the guest finds them by. */
export const scsiControllerGuids = [
  "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
  "0110f83b-de10-5172-a266-78bca56bf50a",
  "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
  "305891a9-b251-5dfe-91a2-c25d9212275b",
] as const;

/**
 * How many disks a SCSI controller of a VM takes: LUNs go from 0 to 63. Source: Microsoft's documentation of Hyper-V's
 * limits.
 */
export const lunsPerScsiController = 64;

/** hvsocket service GUID of a vsock port: the port in hexadecimal followed by this tail. */
export const vsockServiceGuidTail = "-facb-11e6-bd58-64006a7986d3";

/** Ports of vsock are unsigned 32-bit numbers. Source: Linux' vm_sockets.h. */
export const highestVsockPort = 0xffffffff;

/** The hvsocket service GUID of a vsock port. Throws a RangeError for an invalid port. */
export function vsockServiceGuid(port: number): string {
  if (!Number.isInteger(port) || port < 0 || port > highestVsockPort) {
    throw new RangeError(`vsock port ${port}: expected an integer from 0 to ${highestVsockPort}`);
  }
  return `${port.toString(16).padStart(8, "0")}${vsockServiceGuidTail}`;
}

/** The vsock port of an hvsocket service GUID; undefined if the service is not a vsock one. */
export function vsockPortOf(serviceGuid: string): number | undefined {
  const guid = serviceGuid.toLowerCase();
  if (!/^[0-9a-f]{8}-/.test(guid) || guid.slice(8) !== vsockServiceGuidTail) return undefined;
  return Number.parseInt(guid.slice(0, 8), 16);
}

/** The vsock ports by which a Linux guest and its host find each other. */
export const linuxVsockPorts = {
  /** The guest reads its initial entropy here, 512 bytes, when it boots. */
  entropy: 1,
  /** The guest's agent writes its log here, one JSON object per line. */
  log: 109,
  /** Port of the 9p server that Plan9 shares are mounted from. */
  plan9: 564,
  /** The guest dials the GCS bridge here. */
  gcs: 0x40000000,
  /** First port for the stdio of processes; each stream takes the next. */
  firstStdio: 0x40000001,
} as const;

/** hvsocket services of the host that a Windows guest dials. */
export const windowsHvsocketServices = {
  gcs: "acef5661-84a1-4e44-856b-6245e69f4620",
  /** Instead of `gcs` in a guest with a security policy. */
  sidecarGcs: "ae8da506-a019-4553-a52b-902bc0fa0411",
  log: "172dad59-976d-45f2-8b6c-6d1b13f2ac4d",
} as const;

/** The hvsocket address that a Windows guest uses for its host. */
export const windowsGcsHostAddress = "894cc2d6-9d79-424f-93fe-42969ae6d8d1";

/** Paths inside a Linux guest. */
export const linuxGuestPaths = {
  /** Bundle of a container: `<root>/<pod id>/<container id>`, with its root file system in `rootfs`. */
  containerRoot: "/run/gcs/pods",
  /** The same in a guest with a security policy: `<root>/<container id>`. */
  policyContainerRoot: "/run/gcs/c",
  /** SCSI mounts: `<root>/<controller>/<lun>/<partition>`, or `<root>/m<number>` with a security policy. */
  scsiMounts: "/run/mounts/scsi",
  plan9Mounts: "/run/mounts/p9",
  /** Where GPU tools look for their drivers (earlier releases of microsoft/hcsshim, internal/hcsoci). */
  gpuDrivers: "/run/nvidia",
} as const;

/** Paths inside a Windows guest. */
export const windowsGuestPaths = {
  /** SCSI mounts: `<root>\<controller>_<lun>_<partition>`. */
  scsiMounts: "C:\\mounts\\scsi",
  /** VSMB shares: `<root>\<name>`, with the host's named pipes in the share `IPC$`. */
  vsmbShares: "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}",
} as const;
