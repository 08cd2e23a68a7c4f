import { highestVirtualFunction } from "@uvm-shim/hcs-schema";
import { ControllerError, OperationQueue, wrapError } from "@uvm-shim/lifecycle";
import { Assignment } from "./assignment.ts";
import type { AssignmentStateKind } from "./lifecycle.ts";
import type { DeviceConfig, LinuxVpciGuest, VpciHost } from "./types.ts";

export interface VpciControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: VpciHost;
  /**
   * A Linux guest, asked for at each use; throws while there is none. Absent for a Windows guest, which is told of its
   * devices by its own plug and play.
   */
  readonly guest?: () => LinuxVpciGuest;
  /** A new id for a reservation. */
  readonly newId: () => string;
  /** A new GUID for the VMBus channel of an assignment; random ones, for none may come twice. */
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

/** What its holders share: the function as they want it, and the assignment that now stands for it. */
interface SharedDevice {
  readonly key: string;
  readonly config: DeviceConfig;
  readonly holders: Set<string>;
  readonly queue: OperationQueue;
  assignment: Assignment;
}

/**
 * Devices of the host that are assigned to one VM. A caller reserves a function of a device, maps it, and unmaps it in
 * the end, also when mapping failed; an unmap that failed is repeated until it succeeds. Who wants the same function
 * of the same device shares one assignment; each function is a device of its own in the guest.
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
   * Reserves a function of a device. Answers with the reservation's id; when it throws there is nothing to undo.
   * InvalidArgument: no such function is possible, or it is reserved in another way.
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
   * Assigns the device and waits until the guest has it, as far as that is not done, and answers with the VMBus GUID
   * by which the guest finds it. Repeatable. When it fails the reservation remains: map again, or unmap. NotFound: no
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
   * Gives the reservation back; the last one takes the device from the VM. What is gone counts as done, and so does an
   * unknown reservation, so that repeating is harmless. A failed unmap keeps the reservation, and the device stays
   * AssignedInvalid until it could be removed.
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
        // Asked only now: others may have reserved it while the host removed it; they will get a new assignment.
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
      throw this.#refusal(config, `deviceInstancePath is ${shown}, expected the path of a device of the host`);
    }
    if (!Number.isInteger(virtualFunction) || virtualFunction < 0 || virtualFunction > highestVirtualFunction) {
      const accepted = `an integer from 0 to ${highestVirtualFunction}`;
      throw this.#refusal(config, `virtualFunction is ${virtualFunction}, expected ${accepted}`);
    }
  }

  #checkAlike(held: DeviceConfig, wanted: DeviceConfig): void {
    if (held.propagateNumaAffinity === wanted.propagateNumaAffinity) return;
    const shown = ({ propagateNumaAffinity }: DeviceConfig): string => String(propagateNumaAffinity ?? "absent");
    const message = `propagateNumaAffinity is ${shown(wanted)}, expected ${shown(held)}, as it is reserved already`;
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
