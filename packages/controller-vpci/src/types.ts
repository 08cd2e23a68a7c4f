/** What the vPCI controller needs of the host and of a Linux guest; it needs nothing of a Windows guest. */
import type { LinuxVpciDevice, VirtualPciDevice } from "@uvm-shim/hcs-schema";

/**
 * Assignment of devices by the host. The GUID of the VMBus channel names an assignment. Both calls reject with an error
 * whose `code` is one of lifecycle's `errorCodes`.
 */
export interface VpciHost {
  assignDevice(vmBusGuid: string, device: VirtualPciDevice, signal?: AbortSignal): Promise<void>;
  unassignDevice(vmBusGuid: string, signal?: AbortSignal): Promise<void>;
}

/** What a Linux guest is asked about an assigned device. */
export interface LinuxVpciGuest {
  /** Resolves when the guest has the device that the host has assigned under this VMBus GUID. */
  waitForDevice(device: LinuxVpciDevice, signal?: AbortSignal): Promise<void>;
}

/** One function of a device of the host. */
export interface DeviceConfig {
  /** Instance path in the host's device manager; compared without regard to case, as Windows does. */
  readonly deviceInstancePath: string;
  /** Index of the SR-IOV virtual function, 0 to 65535; each is a separate device in the guest. */
  readonly virtualFunction: number;
  /** Tells the guest which NUMA node the device is near. Absent: the host's default. */
  readonly propagateNumaAffinity?: boolean;
}
