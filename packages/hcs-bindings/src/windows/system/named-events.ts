import type { Kernel } from "../io/completion-port.ts";
import type { NativeCallback, NativeMachine } from "../native/native-types.ts";
import { WindowsError } from "../native/windows-error.ts";
import { type Security, withSecurity } from "./security-descriptor.ts";

const INFINITE = 0xffff_ffff;
const WT_EXECUTEONLYONCE = 0x8;
/** INVALID_HANDLE_VALUE: UnregisterWaitEx then waits for a running callback. */
const untilReturned = 0xffff_ffff_ffff_ffffn;
const EVENT_MODIFY_STATE = 0x2;
const SYNCHRONIZE = 0x10_0000;

/** Named events of Windows. Failures are WindowsErrors. */
export class NamedEvents {
  readonly #kernel: Kernel;
  readonly #security: Security;
  readonly #callback: NativeCallback;
  /** Waiters by the context of their callback. */
  readonly #waiters = new Map<bigint, () => void>();
  #last = 0n;

  constructor(machine: NativeMachine, kernel: Kernel, security: Security) {
    this.#kernel = kernel;
    this.#security = security;
    // Never unregistered, since a late thread may still call it. The second parameter (BOOLEAN) is always false for waits without a timeout.
    this.#callback = machine.registerCallback(["pointer", "uint32"], (waiter) => this.#waiters.get(waiter)?.());
  }

  /**
   * Creates an auto-reset event, or opens it if it exists. Each `set` releases one waiter. `descriptor` is in SDDL.
   */
  create(name: string, descriptor: string): NamedEvent {
    const handle = withSecurity(this.#kernel, this.#security, descriptor, (attributes) =>
      this.#kernel.call("CreateEventW", attributes, 0, 0, name),
    );
    return this.#event("CreateEvent", handle);
  }

  open(name: string): NamedEvent {
    return this.#event("OpenEvent", this.#kernel.call("OpenEventW", EVENT_MODIFY_STATE | SYNCHRONIZE, 0, name));
  }

  /** Resolves when the object is signalled; rejects with the signal's reason. The wait does not keep the process alive. */
  async wait(handle: bigint, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const registered = Buffer.alloc(8);
    const waiter = ++this.#last;
    this.#waiters.set(waiter, resolve);
    const onAbort = (): void => reject(signal?.reason);
    try {
      const { address } = this.#callback;
      const call = "RegisterWaitForSingleObject";
      if (this.#kernel.call(call, registered, handle, address, waiter, INFINITE, WT_EXECUTEONLYONCE) === 0) {
        throw new WindowsError(call, this.#kernel.call("GetLastError"));
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      const wait = registered.readBigUInt64LE();
      // The callback runs on this thread, so the unregistering call, which waits for it, must run on another.
      if (wait !== 0n) await this.#kernel.run("UnregisterWaitEx", wait, untilReturned);
      this.#waiters.delete(waiter);
    }
  }

  #event(syscall: string, handle: bigint): NamedEvent {
    if (handle === 0n) throw new WindowsError(syscall, this.#kernel.call("GetLastError"));
    return new NamedEvent(this, this.#kernel, handle);
  }
}

/** A named event of Windows, by its handle. */
export class NamedEvent {
  readonly #events: NamedEvents;
  readonly #kernel: Kernel;
  readonly #handle: bigint;
  readonly #closing = new AbortController();
  readonly #waits = new Set<Promise<void>>();
  #closed: Promise<void> | undefined;

  constructor(events: NamedEvents, kernel: Kernel, handle: bigint) {
    this.#events = events;
    this.#kernel = kernel;
    this.#handle = handle;
  }

  set(): void {
    if (this.#kernel.call("SetEvent", this.#handle) === 0) {
      throw new WindowsError("SetEvent", this.#kernel.call("GetLastError"));
    }
  }

  /** Rejects with the signal's reason or when the event is closed. */
  async wait(signal?: AbortSignal): Promise<void> {
    const either = AbortSignal.any([this.#closing.signal, ...(signal === undefined ? [] : [signal])]);
    const wait = this.#events.wait(this.#handle, either);
    this.#waits.add(wait);
    await wait.finally(() => this.#waits.delete(wait));
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new Error("the event was closed"));
    await Promise.allSettled(this.#waits);
    this.#kernel.call("CloseHandle", this.#handle);
  }
}
