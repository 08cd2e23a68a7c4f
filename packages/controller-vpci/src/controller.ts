import { highestVirtualFunction } from "@uvm-shim/hcs-schema";
import { ControllerError, OperationQueue, wrapError } from "@uvm-shim/lifecycle";
import { Assignment } from "./assignment.ts";
import type { AssignmentStateKind } from "./lifecycle.ts";
import type { DeviceConfig, LinuxVpciGuest, VpciHost } from "./types.ts";

/** What a `VpciController` is made from. */
export interface VpciControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: VpciHost;
  /**
   * Returns the Linux guest; throws while there is none. Called at each use. Absent for a Windows guest, which finds
   * its devices by plug and play.
   */
  readonly guest?: () => LinuxVpciGuest;
  /** A new id for a reservation. */
  readonly newId: () => string;
  /** A new GUID for the VMBus channel of an assignment. Must be random: none may be used twice. */
  readonly newGuid: () => string;
}

/** One device function, for diagnostics. */
export interface DeviceView {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
  readonly vmBusGuid: string;
  readonly holders: number;
  readonly state: AssignmentStateKind;
}

/** What the holders of a device share: its settings and its current assignment. */
interface SharedDevice {
  readonly key: string;
  readonly config: DeviceConfig;
  readonly holders: Set<string>;
  readonly queue: OperationQueue;
  assignment: Assignment;
}

/**
 * Devices of the host that are assigned to one VM. A caller reserves a function of a device, maps it, and finally
 * unmaps it, even if mapping failed; a failed unmap is repeated until it succeeds. Reservations of the same function
 * share one assignment; each function is a separate device in the guest.
 */
export class VpciController {
  readonly #options: VpciControllerOptions;
  readonly #devices = new Map<string, SharedDevice>();
  readonly #reservations = new Map<string, SharedDevice>();

  constructor(options: VpciControllerOptions) {
    this.#options = options;
  }

  get devices(): readonly DeviceView[] {
    return [...this.#devices.values()].map(({ config, holders, assignment }) => ({
      deviceInstancePath: config.deviceInstancePath,
      virtualFunction: config.virtualFunction,
      vmBusGuid: assignment.vmBusGuid,
      holders: holders.size,
      state: assignment.state.kind,
    }));
  }

  /**
   * Reserves a function of a device. Returns the reservation's id; after an error there is nothing to undo.
   * InvalidArgument: no such function can exist, or it is reserved with other settings.
   */
  async reserve(config: DeviceConfig): Promise<string> {
    this.#check(config);
    const key = `${config.virtualFunction} ${config.deviceInstancePath.toLowerCase()}`;
    const known = this.#devices.get(key);
    if (known !== undefined) this.#checkAlike(known.config, config);
    const device = known ?? {
      key,
      config,
      holders: new Set<string>(),
      queue: new OperationQueue(),
      assignment: this.#newAssignment(config),
    };
    const reservation = this.#options.newId();
    device.holders.add(reservation);
    this.#devices.set(key, device);
    this.#reservations.set(reservation, device);
    return reservation;
  }

  /**
   * Assigns the device and waits until the guest has it, where that is not done yet, and returns the VMBus GUID by
   * which the guest finds it. Repeatable. After a failure the reservation remains: map again, or unmap. NotFound: no
   * such reservation.
   */
  async mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    const operation = "assign device";
    const device = this.#require(reservation, operation);
    const { host, guest } = this.#options;
    try {
      return await device.queue.run(async () => {
        // It may have been unmapped while this waited for its turn.
        this.#require(reservation, operation);
        if (!device.assignment.isUsable) {
          await device.assignment.ensureRemoved(host, signal);
          device.assignment = this.#newAssignment(device.config);
        }
        await device.assignment.ensureReady(host, guest, signal);
        return device.assignment.vmBusGuid;
      }, signal);
    } catch (error) {
      throw wrapError(error, operation, this.#name(device));
    }
  }

  /**
   * Releases the reservation; the last one removes the device from the VM. What is gone counts as done, as does an
   * unknown reservation, so repeating is harmless. A failed unmap keeps the reservation, and the device stays
   * AssignedInvalid until it is removed.
   */
  async unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    const device = this.#reservations.get(reservation);
    if (device === undefined) return;
    try {
      await device.queue.run(async () => {
        if (!this.#reservations.has(reservation)) return;
        if (device.holders.size === 1) await device.assignment.ensureRemoved(this.#options.host, signal);
        device.holders.delete(reservation);
        this.#reservations.delete(reservation);
        // Checked only now: others may have reserved it while the host removed it; they get a new assignment.
        if (device.holders.size === 0) this.#devices.delete(device.key);
      }, signal);
    } catch (error) {
      throw wrapError(error, "remove device", this.#name(device));
    }
  }

  #newAssignment(config: DeviceConfig): Assignment {
    return new Assignment(this.#options.id, this.#options.newGuid(), config);
  }

  #name({ config, assignment }: SharedDevice): string {
    return `${this.#options.id} ${nameOf(config)} as ${assignment.vmBusGuid}`;
  }

  #check(config: DeviceConfig): void {
    const { deviceInstancePath: path, virtualFunction } = config;
    if (path === "" || path.includes("\0")) {
      const shown = JSON.stringify(path);
      throw this.#refusal(config, `deviceInstancePath is ${shown}, expected the instance path of a device of the host`);
    }
    if (!Number.isInteger(virtualFunction) || virtualFunction < 0 || virtualFunction > highestVirtualFunction) {
      const accepted = `an integer from 0 to ${highestVirtualFunction}`;
      throw this.#refusal(config, `virtualFunction is ${virtualFunction}, expected ${accepted}`);
    }
  }

  #checkAlike(held: DeviceConfig, wanted: DeviceConfig): void {
    if (held.propagateNumaAffinity === wanted.propagateNumaAffinity) return;
    const shown = ({ propagateNumaAffinity }: DeviceConfig): string => String(propagateNumaAffinity ?? "absent");
    const message = `propagateNumaAffinity is ${shown(wanted)}, expected ${shown(held)}, with which it is reserved`;
    throw this.#refusal(wanted, message);
  }

  #refusal(config: DeviceConfig, message: string): ControllerError {
    return new ControllerError("InvalidArgument", message, {
      operation: "reserve device",
      id: `${this.#options.id} ${nameOf(config)}`,
    });
  }

  #require(reservation: string, operation: string): SharedDevice {
    const device = this.#reservations.get(reservation);
    if (device !== undefined) return device;
    throw new ControllerError("NotFound", `no reservation ${reservation}`, { operation, id: this.#options.id });
  }
}

function nameOf({ deviceInstancePath, virtualFunction }: DeviceConfig): string {
  return `${deviceInstancePath} function ${virtualFunction}`;
}
