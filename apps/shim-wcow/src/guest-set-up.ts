import { type VmFlavour, windowsVm } from "@uvm-shim/controller-vm";
import type { WindowsGuest } from "@uvm-shim/guest-wcow";
import type { SecurityPolicy } from "@uvm-shim/hcs-schema";
import { OperationQueue } from "@uvm-shim/lifecycle";
import type { WindowsSandboxSettings } from "@uvm-shim/sandbox-wcow";

export interface GuestSetUp {
  readonly settings: Pick<WindowsSandboxSettings, "gcsService" | "logForwarding">;
  readonly policy: SecurityPolicy | undefined;
  readonly warn: (sentence: string, fields?: { readonly [key: string]: unknown }) => void;
}

/** A VM whose guest, once connected, gets its address, then its policy, and last what it is to log. */
export function configuredVm({ settings, policy, warn }: GuestSetUp): VmFlavour<WindowsGuest> {
  const { gcsService, logForwarding } = settings;
  return {
    ...windowsVm,
    services: { ...windowsVm.services, bridge: gcsService },
    connected: async (guest, system, signal) => {
      await windowsVm.connected?.(guest, system, signal);
      if (policy !== undefined) await guest.setSecurityPolicy(policy, signal);
      if (logForwarding === undefined) return;
      // Older guests keep their logs to themselves.
      if (!guest.supportsLogForwarding && !logForwarding.isRequired) return;
      try {
        await guest.startLogForwarding(logForwarding.sources, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (logForwarding.isRequired) throw error;
        warn("the guest forwards no logs", { error: String(error) });
      }
    },
  };
}

/** The guest of a confidential VM creates one container after the other. */
export function creatingInTurn(guest: WindowsGuest): WindowsGuest {
  const creations = new OperationQueue();
  const create = guest.createContainer.bind(guest);
  guest.createContainer = (id, settings, signal) => creations.run(() => create(id, settings, signal), signal);
  return guest;
}
