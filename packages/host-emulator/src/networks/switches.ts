/** Virtual switches of this machine: one for each emulated network, with ports for guests. */
export interface VirtualSwitches {
  add(network: string): Promise<void>;
  remove(network: string): Promise<void>;
  /** The switch of a network. Throws if it has none. */
  of(network: string): VirtualSwitch;
  /** Removes all switches. */
  close(): void;
}

/** What the NICs of a network are connected to. */
export interface VirtualSwitch {
  /** Creates a NIC in the network namespace of a process and connects it to this switch. */
  plug(nic: PluggedNic): Promise<SwitchPort>;
  /** Connects whoever holds a descriptor, such as a virtual machine, to this switch. */
  plugTap(): Promise<TapPort>;
}

/** The switch's end of a NIC whose frames go through a descriptor. */
export interface TapPort extends SwitchPort {
  /** Each frame has a virtio header. The caller owns it; the port ends with its last copy. */
  readonly descriptor: number;
}

/** A NIC to be made in a network namespace of this machine. */
export interface PluggedNic {
  /** Pid on this machine of a process in the network namespace for the NIC. */
  readonly pid: number;
  /** Name of the interface in the namespace. */
  readonly interfaceName: string;
  /** MAC address with colons. */
  readonly macAddress: string;
}

/** The switch's end of a NIC. */
export interface SwitchPort {
  /** Disconnects the NIC, which stays without a carrier. Idempotent. */
  disconnect(): Promise<void>;
  /** Removes the port and the NIC. Succeeds if they are already gone. */
  remove(): Promise<void>;
}
