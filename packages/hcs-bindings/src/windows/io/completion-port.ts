import type { kernelFunctions } from "../native/kernel-functions.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";

/** The functions of kernel32.dll. */
export type Kernel = NativeLibrary<typeof kernelFunctions>;

/** INVALID_HANDLE_VALUE and INVALID_SOCKET. */
export const invalidHandle = 0xffff_ffff_ffff_ffffn;

const { OVERLAPPED: overlapped, OVERLAPPED_ENTRY: entry } = systemStructures;
const infinite = 0xffff_ffff;
/** FILE_SKIP_COMPLETION_PORT_ON_SUCCESS */
const skipPortOnSuccess = 1;
const entriesAtATime = 64;

/** Result of an overlapped call. */
export interface Completion {
  /** NTSTATUS; 0 is success. */
  readonly status: number;
  /** In bytes. */
  readonly transferred: number;
}

/** A call in progress. It keeps a reference to the memory that Windows uses until the completion. */
interface Call {
  readonly operation: OverlappedOperation;
  readonly completed: (completion: Completion) => void;
  readonly memory: readonly Uint8Array[];
}

/**
 * An I/O completion port. While calls are outstanding, it occupies one thread of libuv's pool. As with a socket of Node,
 * an outstanding call keeps the process alive.
 */
export class CompletionPort {
  readonly #kernel: Kernel;
  readonly #machine: NativeMachine;
  readonly #port: bigint;
  /** Calls that complete through the port, by the addresses of their OVERLAPPED structures. */
  readonly #outstanding = new Map<bigint, Call>();
  /** Calls that completed at once and have not been notified yet. */
  readonly #done = new Set<Promise<void>>();
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  static readonly #ofMachines = new WeakMap<NativeMachine, CompletionPort>();

  /** The shared port of this process, since each port with outstanding calls occupies a thread. It is never closed. */
  static of(machine: NativeMachine, kernel: Kernel): CompletionPort {
    const known = CompletionPort.#ofMachines.get(machine);
    if (known !== undefined) return known;
    const made = new CompletionPort(machine, kernel);
    CompletionPort.#ofMachines.set(machine, made);
    return made;
  }

  constructor(machine: NativeMachine, kernel: Kernel) {
    this.#machine = machine;
    this.#kernel = kernel;
    this.#port = kernel.call("CreateIoCompletionPort", invalidHandle, null, null, 1);
    if (this.#port === 0n) throw new WindowsError("CreateIoCompletionPort", kernel.call("GetLastError"));
    process.on("exit", this.#wake);
  }

  /** Directs completions of the handle to this port. The handle must have been opened for overlapped I/O. */
  attach(handle: bigint): void {
    if (this.#kernel.call("CreateIoCompletionPort", handle, this.#port, null, 0) === 0n) {
      throw new WindowsError("CreateIoCompletionPort", this.#kernel.call("GetLastError"));
    }
    // Calls that complete at once then skip the port.
    if (this.#kernel.call("SetFileCompletionNotificationModes", handle, skipPortOnSuccess) === 0) {
      throw new WindowsError("SetFileCompletionNotificationModes", this.#kernel.call("GetLastError"));
    }
  }

  operation(handle: bigint): OverlappedOperation {
    const structure = overlapped.encode({});
    return new OverlappedOperation(this, handle, structure, this.#machine.addressOf(structure));
  }

  /** See OverlappedOperation.start. */
  begin(call: Call, begin: (structure: Buffer) => number): number {
    if (this.#closed !== undefined) return windowsErrors.ERROR_OPERATION_ABORTED;
    const { address, structure } = call.operation;
    const error = begin(structure);
    if (error === windowsErrors.ERROR_IO_PENDING) {
      this.#outstanding.set(address, call);
      this.#drained ??= this.#drain();
      return 0;
    }
    if (error === 0) this.#completeLater(call, structure);
    return error;
  }

  /** The operation still completes, usually with STATUS_CANCELLED. */
  cancel({ handle, structure }: OverlappedOperation): void {
    // This fails if the operation has already completed; its completion is then queued.
    this.#kernel.call("CancelIoEx", handle, structure);
  }

  /** Cancels all outstanding calls and waits for their completions. The owners close the handles. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const { operation } of this.#outstanding.values()) this.cancel(operation);
    await Promise.all([this.#drained, ...this.#done]);
    process.removeListener("exit", this.#wake);
    this.#kernel.call("CloseHandle", this.#port);
  }

  async #drain(): Promise<void> {
    const entries = Buffer.alloc(entriesAtATime * entry.size);
    const removed = Buffer.alloc(4);
    const { offsets, size } = entry;
    while (this.#outstanding.size > 0) {
      const port = this.#port;
      const name = "GetQueuedCompletionStatusEx";
      const succeeded = await this.#kernel.occupy(name, port, entries, entriesAtATime, removed, infinite, 0);
      if (succeeded === 0) throw new Error("cannot read the completion port");
      for (let index = 0; index < removed.readUInt32LE(); index++) {
        const at = index * size;
        const address = entries.readBigUInt64LE(at + offsets.lpOverlapped);
        const call = this.#outstanding.get(address);
        if (call === undefined) continue;
        this.#outstanding.delete(address);
        complete(call, {
          status: entries.readUInt32LE(at + offsets.Internal),
          transferred: entries.readUInt32LE(at + offsets.dwNumberOfBytesTransferred),
        });
      }
    }
    this.#drained = undefined;
  }

  /** Deferred, so that a stream that always has data does not starve others. */
  #completeLater(call: Call, structure: Buffer): void {
    const notified = new Promise<void>((resolve) => {
      setImmediate(() => {
        this.#done.delete(notified);
        const { offsets } = overlapped;
        complete(call, {
          status: structure.readUInt32LE(offsets.Internal),
          transferred: structure.readUInt32LE(offsets.InternalHigh),
        });
        resolve();
      });
    });
    this.#done.add(notified);
  }

  /** Node waits for the threads of the pool when it exits. */
  readonly #wake = (): void => {
    this.#kernel.call("PostQueuedCompletionStatus", this.#port, 0, null, null);
  };
}

/** An OVERLAPPED structure, for one call at a time on one handle. */
export class OverlappedOperation {
  readonly handle: bigint;
  readonly structure: Buffer;
  readonly address: bigint;
  readonly #port: CompletionPort;
  #pending = false;

  constructor(port: CompletionPort, handle: bigint, structure: Buffer, address: bigint) {
    this.#port = port;
    this.handle = handle;
    this.structure = structure;
    this.address = address;
  }

  get pending(): boolean {
    return this.#pending;
  }

  /**
   * Starts a call. "call" returns 0 if it completed at once, ERROR_IO_PENDING if it is in progress, or another Windows
   * error. Returns 0 if the call was started, else its error. For a started call `completed` is called once, later;
   * the memory stays referenced until then.
   */
  start(
    call: (structure: Buffer) => number,
    completed: (completion: Completion) => void,
    ...memory: readonly Uint8Array[]
  ): number {
    if (this.#pending) throw new TypeError("the overlapped operation is still pending: expected one call at a time");
    const done = (completion: Completion): void => {
      this.#pending = false;
      completed(completion);
    };
    const error = this.#port.begin({ operation: this, completed: done, memory }, call);
    this.#pending = error === 0;
    return error;
  }

  cancel(): void {
    if (this.#pending) this.#port.cancel(this);
  }
}

function complete({ completed }: Call, completion: Completion): void {
  try {
    completed(completion);
  } catch (error) {
    // An exception of the consumer must not stop the other completions.
    queueMicrotask(() => {
      throw error;
    });
  }
}
