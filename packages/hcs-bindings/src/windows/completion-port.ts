import type { kernelFunctions } from "./kernel-functions.ts";
import type { NativeLibrary, NativeMachine } from "./native-types.ts";
import { systemStructures } from "./system-structures.ts";
import { WindowsError, windowsErrors } from "./windows-error.ts";

export type Kernel = NativeLibrary<typeof kernelFunctions>;

/** INVALID_HANDLE_VALUE and INVALID_SOCKET. */
export const invalidHandle = 0xffff_ffff_ffff_ffffn;

const { OVERLAPPED: overlapped, OVERLAPPED_ENTRY: overlappedEntry } = systemStructures;
const infinite = 0xffff_ffff;
const entriesAtATime = 64;

/** What an overlapped call came to. */
export interface Completion {
  /** NTSTATUS; 0 is success. */
  readonly status: number;
  /** In bytes. */
  readonly transferred: number;
}

interface Call {
  readonly operation: OverlappedOperation;
  readonly completed: (completion: Completion) => void;
  /** What the system uses until the completion; held here so that it is not collected. */
  readonly memory: readonly Uint8Array[];
}

/**
 * One I/O completion port, drained by one thread of libuv's pool, which is taken only while calls are outstanding: as
 * a socket of Node's, a call keeps the process alive until it completes.
 */
export class CompletionPort {
  readonly #kernel: Kernel;
  readonly #machine: NativeMachine;
  readonly #port: bigint;
  /** By the address of the OVERLAPPED structure. */
  readonly #calls = new Map<bigint, Call>();
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(machine: NativeMachine, kernel: Kernel) {
    this.#machine = machine;
    this.#kernel = kernel;
    this.#port = kernel.call("CreateIoCompletionPort", invalidHandle, null, null, 1);
    if (this.#port === 0n) throw new WindowsError("CreateIoCompletionPort", kernel.call("GetLastError"));
    process.on("exit", this.#wake);
  }

  /** From then on the handle's overlapped calls complete here; it must have been opened for them. */
  attach(handle: bigint): void {
    if (this.#kernel.call("CreateIoCompletionPort", handle, this.#port, null, 0) !== 0n) return;
    throw new WindowsError("CreateIoCompletionPort", this.#kernel.call("GetLastError"));
  }

  operation(handle: bigint): OverlappedOperation {
    const structure = overlapped.encode({});
    return new OverlappedOperation(this, handle, structure, this.#machine.addressOf(structure));
  }

  /** See OverlappedOperation.start. */
  begin(call: Call, begin: (structure: Buffer) => number): number {
    if (this.#closed !== undefined) return windowsErrors.ERROR_OPERATION_ABORTED;
    const { address, structure } = call.operation;
    if (this.#calls.has(address)) throw new TypeError("an overlapped operation was started before it had completed");
    this.#calls.set(address, call);
    const error = begin(structure);
    if (error !== 0) {
      this.#calls.delete(address);
      return error;
    }
    this.#drained ??= this.#drain();
    return 0;
  }

  isPending(operation: OverlappedOperation): boolean {
    return this.#calls.has(operation.address);
  }

  /** The operation completes all the same, as a rule with STATUS_CANCELLED. */
  cancel({ handle, structure }: OverlappedOperation): void {
    // It fails for what has completed by now, whose completion is on its way.
    this.#kernel.call("CancelIoEx", handle, structure);
  }

  /** Cancels what is outstanding and waits for its completion. The handles are their owners' to close. Repeatable. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const { operation } of this.#calls.values()) this.cancel(operation);
    await this.#drained;
    process.removeListener("exit", this.#wake);
    this.#kernel.call("CloseHandle", this.#port);
  }

  async #drain(): Promise<void> {
    const entries = Buffer.alloc(entriesAtATime * overlappedEntry.size);
    const removed = Buffer.alloc(4);
    while (this.#calls.size > 0) {
      const port = this.#port;
      const told = await this.#kernel.occupy(
        "GetQueuedCompletionStatusEx",
        port,
        entries,
        entriesAtATime,
        removed,
        infinite,
        0,
      );
      if (told === 0) throw new Error("the completion port cannot be read");
      for (let index = 0; index < removed.readUInt32LE(); index++)
        this.#complete(entries, index * overlappedEntry.size);
    }
    this.#drained = undefined;
  }

  #complete(entries: Buffer, at: number): void {
    const { offsets } = overlappedEntry;
    const address = entries.readBigUInt64LE(at + offsets.lpOverlapped);
    const call = this.#calls.get(address);
    if (call === undefined) return;
    this.#calls.delete(address);
    try {
      call.completed({
        status: entries.readUInt32LE(at + offsets.Internal),
        transferred: entries.readUInt32LE(at + offsets.dwNumberOfBytesTransferred),
      });
    } catch (error) {
      // Thrown by who reads the data: it must not keep the other completions from theirs.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** At its exit, Node waits for the threads of the pool. */
  readonly #wake = (): void => {
    this.#kernel.call("PostQueuedCompletionStatus", this.#port, 0, null, null);
  };
}

/** An OVERLAPPED structure for the calls on one handle, one at a time. */
export class OverlappedOperation {
  readonly handle: bigint;
  readonly structure: Buffer;
  readonly address: bigint;
  readonly #port: CompletionPort;

  constructor(port: CompletionPort, handle: bigint, structure: Buffer, address: bigint) {
    this.#port = port;
    this.handle = handle;
    this.structure = structure;
    this.address = address;
  }

  get pending(): boolean {
    return this.#port.isPending(this);
  }

  /**
   * Makes a call, which tells 0 or a Windows error. `completed` is called once, later, unless the call told an error,
   * which is what this returns. The memory stays alive until the completion.
   */
  start(
    call: (structure: Buffer) => number,
    completed: (completion: Completion) => void,
    ...memory: readonly Uint8Array[]
  ): number {
    return this.#port.begin({ operation: this, completed, memory }, call);
  }

  cancel(): void {
    if (this.pending) this.#port.cancel(this);
  }
}
