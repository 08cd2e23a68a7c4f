import type { Duplex } from "node:stream";
import type { AddressedFunction, NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { guidBytes } from "../native/structures.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError } from "../native/windows-error.ts";
import { winsockExtensions, type winsockFunctions } from "../native/winsock-functions.ts";
import type { Completion, CompletionPort, OverlappedOperation } from "./completion-port.ts";
import { invalidHandle } from "./completion-port.ts";
import { hypervAddress, hypervFamily, hypervProtocol, wildcardGuid } from "./hvsocket-address.ts";
import { type ConnectedHandle, OverlappedStream } from "./overlapped-stream.ts";

type Library = NativeLibrary<typeof winsockFunctions>;
type Extensions = {
  readonly [Name in keyof typeof winsockExtensions]: AddressedFunction<(typeof winsockExtensions)[Name]>;
};

/** Constants of winsock2.h, mswsock.h and hvsocket.h. */
const winsockVersion = 0x0202;
const SOCK_STREAM = 1;
const SOMAXCONN = 0x7fff_ffff;
const WSA_FLAG_OVERLAPPED = 0x01;
const WSA_FLAG_NO_HANDLE_INHERIT = 0x80;
const SIO_GET_EXTENSION_FUNCTION_POINTER = 0xc800_0006;
const SOL_SOCKET = 0xffff;
const SO_UPDATE_ACCEPT_CONTEXT = 0x700b;
const SO_UPDATE_CONNECT_CONTEXT = 0x7010;
const HVSOCKET_CONNECTED_SUSPEND = 0x04;
const SD_SEND = 1;

const { SOCKADDR_HV: address, WSABUF: socketBuffer } = systemStructures;
const mostChunks = 64;
/** AcceptEx requires 16 bytes more than the size of each address. */
const addressBytes = address.size + 16;

/** AF_HYPERV sockets on a completion port. Failures are WindowsErrors. */
export class Winsock {
  readonly #machine: NativeMachine;
  readonly #library: Library;
  readonly #port: CompletionPort;
  #extensions: Extensions | undefined;

  private constructor(machine: NativeMachine, library: Library, port: CompletionPort) {
    this.#machine = machine;
    this.#library = library;
    this.#port = port;
  }

  static async start(machine: NativeMachine, library: Library, port: CompletionPort): Promise<Winsock> {
    // Size of WSADATA.
    const error = await library.run("WSAStartup", winsockVersion, Buffer.alloc(408));
    if (error !== 0) throw new WindowsError("WSAStartup", error);
    return new Winsock(machine, library, port);
  }

  async stop(): Promise<void> {
    await this.#library.run("WSACleanup");
  }

  /** Opens a socket that listens on the address. */
  listen(to: Buffer): bigint {
    return this.#open((socket) => {
      this.#check("bind", this.#library.call("bind", socket, to, to.length));
      this.#check("listen", this.#library.call("listen", socket, SOMAXCONN));
    });
  }

  close(socket: bigint): void {
    this.#library.call("closesocket", socket);
  }

  /** Accepts the next connection. `operation` must be of the listening socket. */
  async accept(operation: OverlappedOperation): Promise<Duplex> {
    const { handle: listening } = operation;
    const socket = this.#open();
    try {
      const { AcceptEx: acceptEx } = this.#extensionsOf(socket);
      const addresses = Buffer.alloc(2 * addressBytes);
      const received = Buffer.alloc(4);
      await this.#complete(
        "accept",
        operation,
        (structure) =>
          this.#started(
            acceptEx(listening, socket, addresses, 0, addressBytes, addressBytes, received, structure) !== 0,
          ),
        addresses,
        received,
      );
      const context = Buffer.alloc(8);
      context.writeBigUInt64LE(listening);
      this.#set(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, context);
      return this.#stream(socket);
    } catch (error) {
      this.close(socket);
      throw error;
    }
  }

  /** An abort cancels the connection; check the signal after a rejection. */
  async connect(to: Buffer, signal: AbortSignal): Promise<Duplex> {
    // ConnectEx requires a bound socket.
    const unbound = hypervAddress(wildcardGuid, wildcardGuid);
    const socket = this.#open((opened) => {
      this.#check("bind", this.#library.call("bind", opened, unbound, unbound.length));
    });
    const operation = this.#port.operation(socket);
    const cancel = (): void => operation.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const { ConnectEx: connectEx } = this.#extensionsOf(socket);
      await this.#complete(
        "connect",
        operation,
        (structure) => this.#started(connectEx(socket, to, to.length, null, 0, null, structure) !== 0),
        to,
      );
      signal.throwIfAborted();
      this.#set(socket, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, null);
      return this.#stream(socket);
    } catch (error) {
      this.close(socket);
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  #open(prepare: (socket: bigint) => void = () => {}): bigint {
    const flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    const socket = this.#library.call("WSASocketW", hypervFamily, SOCK_STREAM, hypervProtocol, null, 0, flags);
    if (socket === invalidHandle) throw new WindowsError("socket", this.#lastError());
    try {
      this.#port.attach(socket);
      prepare(socket);
      return socket;
    } catch (error) {
      this.close(socket);
      throw error;
    }
  }

  #extensionsOf(socket: bigint): Extensions {
    this.#extensions ??= {
      AcceptEx: this.#machine.functionAt(this.#extensionAddress(socket, "AcceptEx"), winsockExtensions.AcceptEx),
      ConnectEx: this.#machine.functionAt(this.#extensionAddress(socket, "ConnectEx"), winsockExtensions.ConnectEx),
    };
    return this.#extensions;
  }

  #extensionAddress(socket: bigint, name: keyof Extensions): bigint {
    const id = guidBytes(winsockExtensions[name].id);
    const found = Buffer.alloc(8);
    const failed = this.#library.call(
      "WSAIoctl",
      socket,
      SIO_GET_EXTENSION_FUNCTION_POINTER,
      id,
      id.length,
      found,
      found.length,
      Buffer.alloc(4),
      null,
      null,
    );
    this.#check(name, failed);
    return found.readBigUInt64LE();
  }

  #stream(socket: bigint): OverlappedStream {
    const on = Buffer.alloc(4);
    on.writeUInt32LE(1);
    // Keeps streams open while the VM is paused. Windows versions without the option close them, which is not an error here.
    this.#library.call("setsockopt", socket, hypervProtocol, HVSOCKET_CONNECTED_SUSPEND, on, on.length);
    return new OverlappedStream(this.#port, this.#connected(socket));
  }

  #connected(socket: bigint): ConnectedHandle {
    const flags = Buffer.alloc(4);
    return {
      handle: socket,
      chunksAtATime: mostChunks,
      halves: true,
      ways: "both",
      read: (structure, into) => {
        const buffers = this.#buffers([into]);
        return this.#started(this.#library.call("WSARecv", socket, buffers, 1, null, flags, structure, null) === 0);
      },
      write: (structure, chunks) => {
        const buffers = this.#buffers(chunks);
        const failed = this.#library.call("WSASend", socket, buffers, chunks.length, null, 0, structure, null);
        return this.#started(failed === 0);
      },
      failure: (structure) => this.#failure(socket, structure),
      endWriting: () => (this.#library.call("shutdown", socket, SD_SEND) === 0 ? 0 : this.#lastError()),
      close: () => this.close(socket),
    };
  }

  #buffers(chunks: readonly Buffer[]): Buffer {
    const buffers = Buffer.alloc(chunks.length * socketBuffer.size);
    const { offsets, size } = socketBuffer;
    for (const [index, chunk] of chunks.entries()) {
      buffers.writeUInt32LE(chunk.length, index * size + offsets.len);
      buffers.writeBigUInt64LE(this.#machine.addressOf(chunk), index * size + offsets.buf);
    }
    return buffers;
  }

  async #complete(
    syscall: string,
    operation: OverlappedOperation,
    call: (structure: Buffer) => number,
    ...memory: readonly Uint8Array[]
  ): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<Completion>();
    const error = operation.start(call, resolve, ...memory);
    if (error !== 0) throw new WindowsError(syscall, error);
    const { status } = await promise;
    if (status !== 0) throw new WindowsError(syscall, this.#failure(operation.handle, operation.structure));
  }

  #failure(socket: bigint, structure: Buffer): number {
    const [transferred, flags] = [Buffer.alloc(4), Buffer.alloc(4)];
    const succeeded = this.#library.call("WSAGetOverlappedResult", socket, structure, transferred, 0, flags);
    return succeeded === 0 ? this.#lastError() : 0;
  }

  #started(succeeded: boolean): number {
    return succeeded ? 0 : this.#lastError();
  }

  #set(socket: bigint, level: number, option: number, value: Buffer | null): void {
    this.#check("setsockopt", this.#library.call("setsockopt", socket, level, option, value, value?.length ?? 0));
  }

  #check(syscall: string, failed: number): void {
    if (failed !== 0) throw new WindowsError(syscall, this.#lastError());
  }

  #lastError(): number {
    return this.#library.call("WSAGetLastError");
  }
}
