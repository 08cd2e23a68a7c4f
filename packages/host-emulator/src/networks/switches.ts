/** What the emulated networks ask of this machine: a switch for each network, and ports of it that guests hang on. */
export interface VirtualSwitches {
  add(network: string): Promise<void>;
  remove(network: string): Promise<void>;
  /** The switch of a network, which must have one. */
  of(network: string): VirtualSwitch;
  /** Removes all of them. */
  close(): void;
}

export interface VirtualSwitch {
  /** Makes a NIC in the network namespace of a process, with a cable to this switch. */
  plug(nic: PluggedNic): Promise<SwitchPort>;
}

export interface PluggedNic {
  /** A process in the network namespace that gets the NIC, by its pid on this machine. */
  readonly pid: number;
  /** Name of the interface there. */
  readonly interfaceName: string;
  /** With colons. */
  readonly macAddress: string;
}

export interface SwitchPort {
  /** Pulls the cable: the NIC stays, without a carrier. Repeatable. */
  disconnect(): Promise<void>;
  /** Removes the port and the NIC. What is gone already counts as removed. */
  remove(): Promise<void>;
}
