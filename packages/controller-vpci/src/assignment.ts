import type { VirtualPciDevice } from "@uvm-shim/hcs-schema";
import { Lifecycle, unlessGone } from "@uvm-shim/lifecycle";
import {
  type AssignmentOperation,
  type AssignmentState,
  type AssignmentStateKind,
  assignmentTable,
} from "./lifecycle.ts";
import type { DeviceConfig, LinuxVpciGuest, VpciHost } from "./types.ts";

/**
 * One assignment of a device to the VM. It is never reused: after a failure it can only be removed, and the next one
 * has another VMBus GUID, so that the guest cannot confuse a device being removed with a new one.
 */
export class Assignment {
  readonly vmBusGuid: string;
  readonly #device: VirtualPciDevice;
  readonly #life: Lifecycle<AssignmentState, AssignmentStateKind, AssignmentOperation>;

  constructor(vmId: string, vmBusGuid: string, config: DeviceConfig) {
    this.vmBusGuid = vmBusGuid;
    const { deviceInstancePath: DeviceInstancePath, virtualFunction: VirtualFunction } = config;
    this.#device = {
      // Function 0 is omitted, as by every client whose encoder omits zeros.
      Functions: [{ DeviceInstancePath, ...(VirtualFunction > 0 && { VirtualFunction }) }],
      ...(config.propagateNumaAffinity !== undefined && { PropagateNumaAffinity: config.propagateNumaAffinity }),
    };
    this.#life = new Lifecycle(assignmentTable, `${vmId} ${vmBusGuid}`, { kind: "Reserved" });
  }

  get state(): AssignmentState {
    return this.#life.state;
  }

  /** Whether it is ready or can still become ready. */
  get isUsable(): boolean {
    return this.state.kind === "Ready" || this.state.kind === "Reserved";
  }

  /**
   * Assigns the device and waits until the guest has it, unless done. `guest` is absent for guests that need no wait.
   */
  async ensureReady(host: VpciHost, guest: (() => LinuxVpciGuest) | undefined, signal?: AbortSignal): Promise<void> {
    if (this.state.kind === "Ready") return;
    await this.#attempt("assign", "Assigned", () => host.assignDevice(this.vmBusGuid, this.#device, signal));
    await this.#attempt("wait", "Ready", async () => {
      await guest?.().waitForDevice({ VMBusGUID: this.vmBusGuid }, signal);
    });
  }

  /** Takes the device from the VM, unless it was never assigned. Repeatable until it succeeds. */
  async ensureRemoved(host: VpciHost, signal?: AbortSignal): Promise<void> {
    switch (this.state.kind) {
      case "Reserved":
        return this.#life.succeed("remove", { kind: "Removed" });
      case "Assigned":
      case "Ready":
      case "AssignedInvalid":
        return await this.#attempt("remove", "Removed", () =>
          unlessGone(() => host.unassignDevice(this.vmBusGuid, signal)),
        );
      case "Removed":
        return;
    }
  }

  async #attempt(
    operation: AssignmentOperation,
    success: AssignmentStateKind,
    work: () => Promise<void>,
  ): Promise<void> {
    this.#life.require(operation);
    try {
      await work();
    } catch (error) {
      this.#life.fail(operation, { kind: "AssignedInvalid" });
      throw error;
    }
    this.#life.succeed(operation, { kind: success });
  }
}
