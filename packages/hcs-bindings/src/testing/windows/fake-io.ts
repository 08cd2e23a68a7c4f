import { systemStructures } from "../../windows/native/system-structures.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";

const { OVERLAPPED, OVERLAPPED_ENTRY } = systemStructures;

/** NTSTATUS values with which overlapped calls end (ntstatus.h). */
export const ntStatus = {
  success: 0,
  cancelled: 0xc0000120,
  reset: 0xc000020d,
  refused: 0xc0000236,
  pipeBroken: 0xc000014b,
} as const;

const ERROR_NOT_ENOUGH_MEMORY = 8;
const ERROR_IO_PENDING = 997;
/** INVALID_HANDLE_VALUE on a 64-bit system. */
export const invalidHandle = 0xffff_ffff_ffff_ffffn;

/** Result of an overlapped call; undefined while it must wait. */
export type Attempt = () => { readonly status: number; readonly transferred: number } | undefined;

interface Pending {
  readonly structure: Buffer;
  readonly attempt: Attempt;
}

interface Packet {
  readonly overlapped: bigint;
  readonly status: number;
  readonly transferred: number;
}

class FakePort {
  readonly packets: Packet[] = [];
  waiter: (() => void) | undefined;

  post(packet: Packet): void {
    this.packets.push(packet);
    this.waiter?.();
  }
}

interface FakeHandle {
  readonly kind: string;
  readonly pending: Set<Pending>;
  port: FakePort | undefined;
  readonly closed: () => void;
}

/** Windows I/O in memory: handles, and overlapped calls with completion ports. */
export class FakeIo {
  /** Whether calls that need not wait complete at once; otherwise all complete through the port. */
  atOnce = true;
  /** Index of the call that fails, and the number of calls made. */
  failAt: number | undefined;
  calls = 0;
  lastError = 0;
  /** Number of waiting threads that were woken. */
  wakes = 0;
  readonly #machine: FakeMachine;
  readonly #handles = new Map<bigint, FakeHandle>();

  constructor(machine: FakeMachine) {
    this.#machine = machine;
  }

  /** Wraps a function that can be chosen to fail with this result. */
  failing<Parameters extends readonly unknown[], Result>(
    result: Result,
    does: (...parameters: Parameters) => Result,
  ): (...parameters: Parameters) => Result {
    return (...parameters) => {
      if (this.calls++ !== this.failAt) return does(...parameters);
      this.lastError = ERROR_NOT_ENOUGH_MEMORY;
      return result;
    };
  }

  open(kind: string, closed: () => void = () => {}): bigint {
    const handle = this.#machine.newAddress();
    this.#handles.set(handle, { kind, pending: new Set(), port: undefined, closed });
    return handle;
  }

  /** Outstanding calls complete as cancelled. */
  close(handle: bigint): boolean {
    const found = this.#handles.get(handle);
    if (found === undefined) this.#machine.wrongs.push(`handle ${handle} is not open`);
    else {
      this.#handles.delete(handle);
      found.closed();
      for (const pending of found.pending)
        this.#complete(found, pending, { status: ntStatus.cancelled, transferred: 0 });
      this.settle();
    }
    return found !== undefined;
  }

  /** Starts an overlapped call; returns whether it has completed, else sets the last error. */
  begin(handle: bigint, structure: Buffer, attempt: Attempt): boolean {
    const found = this.#handles.get(handle);
    if (found === undefined) throw new Error(`handle ${handle} is not open`);
    const outcome = attempt();
    const pending: Pending = { structure, attempt };
    found.pending.add(pending);
    this.lastError = ERROR_IO_PENDING;
    if (outcome === undefined) {
      this.settle();
      return false;
    }
    if (this.atOnce && outcome.status === ntStatus.success) {
      found.pending.delete(pending);
      record(structure, outcome);
      this.settle();
      return true;
    }
    this.#complete(found, pending, outcome);
    this.settle();
    return false;
  }

  /** Retries waiting calls after a change. */
  settle(): void {
    // Waiting calls may progress in parts, which shows only in what another call can do then.
    for (let idle = 0; idle < 2; idle++) {
      for (const handle of this.#handles.values()) {
        for (const pending of handle.pending) {
          const outcome = pending.attempt();
          if (outcome === undefined) continue;
          this.#complete(handle, pending, outcome);
          idle = -1;
        }
      }
    }
  }

  leftovers(): readonly string[] {
    return [...this.#handles.values()].map(({ kind }) => `${kind} is open`);
  }

  /** Functions of kernel32. */
  functions(): FakeDll {
    return {
      GetLastError: () => this.lastError,
      CloseHandle: (handle: bigint) => (this.close(handle) ? 1 : 0),
      CreateIoCompletionPort: this.failing(0n, (handle: bigint, port: bigint) => {
        if (handle === invalidHandle) return this.#openPort();
        this.#handleOf(handle).port = this.#ports.get(port);
        return port;
      }),
      SetFileCompletionNotificationModes: this.failing(0, () => 1),
      GetQueuedCompletionStatusEx: (port: bigint, entries: Buffer, count: number, removed: Buffer) =>
        this.#drain(port, entries, count, removed),
      PostQueuedCompletionStatus: (port: bigint) => {
        this.#ports.get(port)?.post({ overlapped: 0n, status: 0, transferred: 0 });
        return 1;
      },
      CancelIoEx: (handle: bigint, structure: Buffer) => {
        const found = this.#handles.get(handle);
        for (const pending of found?.pending ?? []) {
          if (found === undefined || pending.structure !== structure) continue;
          this.#complete(found, pending, { status: ntStatus.cancelled, transferred: 0 });
        }
        return 1;
      },
    };
  }

  readonly #ports = new Map<bigint, FakePort>();

  #openPort(): bigint {
    const port = this.open("completion port", () => this.#ports.delete(port));
    this.#ports.set(port, new FakePort());
    return port;
  }

  #handleOf(handle: bigint): FakeHandle {
    const found = this.#handles.get(handle);
    if (found === undefined) throw new Error(`handle ${handle} is not open`);
    return found;
  }

  async #drain(handle: bigint, entries: Buffer, count: number, removed: Buffer): Promise<number> {
    const port = this.#ports.get(handle);
    if (port === undefined) return 0;
    if (port.packets.length === 0) await new Promise<void>((resolve) => (port.waiter = resolve));
    port.waiter = undefined;
    this.wakes++;
    const packets = port.packets.splice(0, count);
    removed.writeUInt32LE(packets.length);
    for (const [index, { overlapped, status, transferred }] of packets.entries()) {
      OVERLAPPED_ENTRY.encode({
        lpOverlapped: overlapped,
        Internal: BigInt(status),
        dwNumberOfBytesTransferred: transferred,
      }).copy(entries, index * OVERLAPPED_ENTRY.size);
    }
    return 1;
  }

  #complete(handle: FakeHandle, pending: Pending, outcome: { status: number; transferred: number }): void {
    handle.pending.delete(pending);
    record(pending.structure, outcome);
    handle.port?.post({ overlapped: this.#machine.placeOf(pending.structure), ...outcome });
  }
}

function record(structure: Buffer, { status, transferred }: { status: number; transferred: number }): void {
  OVERLAPPED.encode({ Internal: BigInt(status), InternalHigh: BigInt(transferred) }).copy(structure);
}

/** How an overlapped call has ended: `Internal` of its OVERLAPPED. */
export const statusOf = (structure: Buffer): number => structure.readUInt32LE(OVERLAPPED.offsets.Internal);
