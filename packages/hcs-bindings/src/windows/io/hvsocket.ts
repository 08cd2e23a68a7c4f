import type { Duplex } from "node:stream";
import { AcceptQueue } from "../../accept-queue.ts";
import { abortedError } from "../../host-error.ts";
import { checkPort, portOf, serviceGuidOf, socketError } from "../../hvsocket-service.ts";
import type { HvsocketListener, HvsocketService } from "../../types.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";
import type { winsockFunctions } from "../native/winsock-functions.ts";
import type { CompletionPort, OverlappedOperation } from "./completion-port.ts";
import { hypervAddress } from "./hvsocket-address.ts";
import { OpenStreams } from "./open-streams.ts";
import { Winsock } from "./winsock.ts";

/** Error for a client that closed its connection before it was accepted; the listener continues. */
const hangUps: ReadonlySet<number> = new Set([windowsErrors.WSAECONNRESET, windowsErrors.ERROR_NETNAME_DELETED]);

/** hvsockets of the VMs of this host as Node streams, all on one completion port. VMs are identified by GUID. */
export class WindowsHvsockets {
  readonly #winsock: Winsock;
  readonly #port: CompletionPort;
  readonly #listeners = new Set<WindowsListener>();
  readonly #streams = new OpenStreams();
  readonly #dialling = new Set<Promise<Duplex>>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(winsock: Winsock, port: CompletionPort) {
    this.#winsock = winsock;
    this.#port = port;
  }

  static async open(
    machine: NativeMachine,
    library: NativeLibrary<typeof winsockFunctions>,
    port: CompletionPort,
  ): Promise<WindowsHvsockets> {
    return new WindowsHvsockets(await Winsock.start(machine, library, port), port);
  }

  /** AlreadyExists if the service already has a listener, NotFound if the VM does not exist. */
  async listen(vmId: string, service: HvsocketService): Promise<HvsocketListener> {
    const operation = "listen on hvsocket";
    const port = portOf(vmId, service);
    checkPort(operation, vmId, port);
    const { signal } = this.#closing;
    if (signal.aborted) throw abortedError(signal, "cancelled", { operation, id: `${vmId} port ${port}` });
    let socket: bigint;
    try {
      socket = this.#winsock.listen(hypervAddress(vmId, serviceGuidOf(service)));
    } catch (error) {
      throw socketError(listenCode(error), operation, vmId, port, error);
    }
    const listener = new WindowsListener(`${vmId} port ${port}`, port, {
      operation: this.#port.operation(socket),
      accept: async (accepting) => this.#streams.add(await this.#winsock.accept(accepting)),
      close: () => this.#winsock.close(socket),
      closed: () => this.#listeners.delete(listener),
    });
    this.#listeners.add(listener);
    return listener;
  }

  /** Unavailable if the service has no listener. */
  async connect(vmId: string, service: HvsocketService, signal?: AbortSignal): Promise<Duplex> {
    const dialling = this.#dial(vmId, service, AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]));
    this.#dialling.add(dialling);
    return await dialling.finally(() => this.#dialling.delete(dialling));
  }

  /** Closes all listeners and streams, and cancels pending connections. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new Error("the host was closed"));
    await Promise.allSettled([...this.#listeners].map((listener) => listener.close()));
    await Promise.allSettled(this.#dialling);
    await this.#streams.close();
    await this.#winsock.stop();
  }

  async #dial(vmId: string, service: HvsocketService, signal: AbortSignal): Promise<Duplex> {
    const operation = "connect to hvsocket";
    const port = portOf(vmId, service);
    checkPort(operation, vmId, port);
    const cancelled = (): Error => abortedError(signal, "cancelled", { operation, id: `${vmId} port ${port}` });
    if (signal.aborted) throw cancelled();
    try {
      return this.#streams.add(await this.#winsock.connect(hypervAddress(vmId, serviceGuidOf(service)), signal));
    } catch (error) {
      throw signal.aborted ? cancelled() : socketError("Unavailable", operation, vmId, port, error);
    }
  }
}

interface ListeningSocket {
  readonly operation: OverlappedOperation;
  accept(operation: OverlappedOperation): Promise<Duplex>;
  close(): void;
  closed(): void;
}

class WindowsListener implements HvsocketListener {
  readonly port: number;
  readonly #queue: AcceptQueue;
  readonly #socket: ListeningSocket;
  readonly #accepting: Promise<void>;
  #open = true;

  constructor(id: string, port: number, socket: ListeningSocket) {
    this.port = port;
    this.#queue = new AcceptQueue(id);
    this.#socket = socket;
    this.#accepting = this.#acceptAll();
  }

  accept(signal?: AbortSignal): Promise<Duplex> {
    return this.#queue.accept(signal);
  }

  /** Accepted streams stay open. Idempotent. */
  async close(): Promise<void> {
    this.#end();
    await this.#accepting;
  }

  async #acceptAll(): Promise<void> {
    while (this.#open) {
      try {
        this.#queue.arrive(await this.#socket.accept(this.#socket.operation));
      } catch (error) {
        if (!(error instanceof WindowsError && hangUps.has(error.errno))) this.#end();
      }
    }
    this.#socket.closed();
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#queue.close();
    this.#socket.operation.cancel();
    this.#socket.close();
  }
}

function listenCode(error: unknown): "AlreadyExists" | "NotFound" | "Internal" {
  if (!(error instanceof WindowsError)) return "Internal";
  if (error.errno === windowsErrors.WSAEADDRINUSE) return "AlreadyExists";
  return error.errno === windowsErrors.WSAEADDRNOTAVAIL ? "NotFound" : "Internal";
}
