/** What the vPCI controller asks of the host and of a Linux guest. A Windows guest is asked nothing. */
import type { LinuxVpciDevice, VirtualPciDevice } from "@uvm-shim/hcs-schema";

export interface VpciHost {
  assignDevice(vmBusGuid: string, device: VirtualPciDevice, signal?: AbortSignal): Promise<void>;
  unassignDevice(vmBusGuid: string, signal?: AbortSignal): Promise<void>;
}

export interface LinuxVpciGuest {
  /** Resolves when the guest has the device that the host has assigned under this VMBus GUID. */
  waitForDevice(device: LinuxVpciDevice, signal?: AbortSignal): Promise<void>;
}

/** One function of a device of the host. */
export interface DeviceConfig {
  /** As the host's device manager names it; compared without regard to case, as Windows does. */
  readonly deviceInstancePath: string;
  /** Index of the SR-IOV virtual function, 0 to 65535; each is a device of its own in the guest. */
  readonly virtualFunction: number;
  /** Tells the guest which NUMA node the device is near. Absent: as the host does by itself. */
  readonly propagateNumaAffinity?: boolean;
}
