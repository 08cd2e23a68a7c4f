import type { kernelFunctions } from "../native/kernel-functions.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";

export type Kernel = NativeLibrary<typeof kernelFunctions>;

/** INVALID_HANDLE_VALUE and INVALID_SOCKET. */
export const invalidHandle = 0xffff_ffff_ffff_ffffn;

const { OVERLAPPED: overlapped, OVERLAPPED_ENTRY: entry } = systemStructures;
const infinite = 0xffff_ffff;
/** FILE_SKIP_COMPLETION_PORT_ON_SUCCESS */
const skipPortOnSuccess = 1;
const entriesAtATime = 64;

/** What an overlapped call came to. */
export interface Completion {
  /** NTSTATUS; 0 is success. */
  readonly status: number;
  /** In bytes. */
  readonly transferred: number;
}

/** A call that is under way, and what the system uses until its completion, which must not be collected before. */
interface Call {
  readonly operation: OverlappedOperation;
  readonly completed: (completion: Completion) => void;
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
  /** Calls whose completions come through the port, by the addresses of their OVERLAPPED structures. */
  readonly #outstanding = new Map<bigint, Call>();
  /** Calls that were done at once, and are yet to be told of it. */
  readonly #done = new Set<Promise<void>>();
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  static readonly #ofMachines = new WeakMap<NativeMachine, CompletionPort>();

  /** The one of this process, which is never closed: each that has outstanding calls takes a thread of the pool. */
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

  /** From then on the handle's overlapped calls complete here; it must have been opened for them. */
  attach(handle: bigint): void {
    if (this.#kernel.call("CreateIoCompletionPort", handle, this.#port, null, 0) === 0n) {
      throw new WindowsError("CreateIoCompletionPort", this.#kernel.call("GetLastError"));
    }
    // What is there already, or has room, is then done without a way through the port.
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
      const told = await this.#kernel.occupy(name, port, entries, entriesAtATime, removed, infinite, 0);
      if (told === 0) throw new Error("the completion port cannot be read");
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

  /** Not at once, so that a stream that always has data does not keep others from theirs. */
  #completeLater(call: Call, structure: Buffer): void {
    const told = new Promise<void>((resolve) => {
      setImmediate(() => {
        this.#done.delete(told);
        const { offsets } = overlapped;
        complete(call, {
          status: structure.readUInt32LE(offsets.Internal),
          transferred: structure.readUInt32LE(offsets.InternalHigh),
        });
        resolve();
      });
    });
    this.#done.add(told);
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
   * Makes a call, which tells a Windows error, ERROR_IO_PENDING among them, or 0 when it is done already. What this
   * returns is the error of a call that was not started; for the others, which have 0, `completed` is called once,
   * later. The memory stays alive until then.
   */
  start(
    call: (structure: Buffer) => number,
    completed: (completion: Completion) => void,
    ...memory: readonly Uint8Array[]
  ): number {
    if (this.#pending) throw new TypeError("an overlapped operation was started before it had completed");
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
    // Thrown by who reads the data: it must not keep the other completions from theirs.
    queueMicrotask(() => {
      throw error;
    });
  }
}
