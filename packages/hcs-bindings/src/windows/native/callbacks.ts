import { hostStructures } from "./host-structures.ts";
import type { NativeMachine } from "./native-types.ts";

/** An event of a compute system or process. Its data, if any, is a JSON document. */
export interface HostEvent {
  readonly type: number;
  readonly data: string | undefined;
}

/** Values of HCS_EVENT_TYPE that the driver handles. */
export const hostEventTypes = {
  systemExited: 0x1,
  systemCrashReport: 0x3,
  processExited: 0x10000,
  serviceDisconnect: 0x2000000,
} as const;

/**
 * The callbacks for the host's DLLs, one of each kind in a process. They are never unregistered, since a late thread may
 * still call them. The context of a call is a number that identifies its listener; calls for unknown numbers are ignored.
 */
export class HostCallbacks {
  /** HCS_OPERATION_COMPLETION. */
  readonly completionAddress: bigint;
  /** HCS_EVENT_CALLBACK. */
  readonly eventAddress: bigint;
  /** HCN_NOTIFICATION_CALLBACK. */
  readonly notificationAddress: bigint;
  readonly #completions = new Map<bigint, () => void>();
  readonly #events = new Map<bigint, (event: HostEvent) => void>();
  readonly #notifications = new Map<bigint, (type: number) => void>();
  #nextContext = 1n;

  private constructor(machine: NativeMachine) {
    this.completionAddress = machine.registerCallback(["pointer", "pointer"], (_operation, context) => {
      this.#completions.get(context)?.();
    }).address;
    this.eventAddress = machine.registerCallback(["pointer", "pointer"], (address, context) => {
      const listener = this.#events.get(context);
      if (listener === undefined) return;
      // The host frees the memory when this returns.
      const { Type: type, EventData: data } = hostStructures.HCS_EVENT.decode(
        machine.readBytes(address, hostStructures.HCS_EVENT.size),
      );
      listener({ type, data: data === 0n ? undefined : machine.readText(data) });
    }).address;
    this.notificationAddress = machine.registerCallback(["uint32", "pointer", "int32", "pointer"], (type, context) => {
      this.#notifications.get(context)?.(type);
    }).address;
  }

  static readonly #ofMachines = new WeakMap<NativeMachine, HostCallbacks>();

  static of(machine: NativeMachine): HostCallbacks {
    const known = HostCallbacks.#ofMachines.get(machine);
    if (known !== undefined) return known;
    const made = new HostCallbacks(machine);
    HostCallbacks.#ofMachines.set(machine, made);
    return made;
  }

  onCompletion(listener: () => void): Subscription {
    return this.#add(this.#completions, listener);
  }

  onEvent(listener: (event: HostEvent) => void): Subscription {
    return this.#add(this.#events, listener);
  }

  onNotification(listener: (type: number) => void): Subscription {
    return this.#add(this.#notifications, listener);
  }

  #add<Listener>(listeners: Map<bigint, Listener>, listener: Listener): Subscription {
    const context = this.#nextContext++;
    listeners.set(context, listener);
    return { context, end: () => listeners.delete(context) };
  }
}

/** A caller's part of a native callback that is shared by all. */
export interface Subscription {
  /** Context to register with the callback. */
  readonly context: bigint;
  end(): void;
}
