import { guidBytes } from "../../windows/native/structures.ts";
import { systemStructures } from "../../windows/native/system-structures.ts";
import { winsockExtensions } from "../../windows/native/winsock-functions.ts";
import { FakeEndpoint } from "./fake-endpoint.ts";
import { type FakeIo, invalidHandle, ntStatus, statusOf } from "./fake-io.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";

const { SOCKADDR_HV, WSABUF } = systemStructures;
const [WSAEADDRINUSE, WSAEADDRNOTAVAIL] = [10048, 10049];
const errors: ReadonlyMap<number, number> = new Map([
  [ntStatus.cancelled, 995],
  [ntStatus.reset, 10054],
  [ntStatus.refused, 10061],
]);

interface FakeSocket {
  endpoint: FakeEndpoint | undefined;
  /** A listener by VM and service, with its pending clients. */
  address: string | undefined;
  readonly dialled: FakeEndpoint[];
}

/** AF_HYPERV sockets of ws2_32.dll in memory. */
export class FakeWinsock {
  /** A VM that does not exist. */
  readonly missingVm = "11111111-0000-4000-8000-000000000000";
  started = 0;
  readonly functions: FakeDll;
  readonly #io: FakeIo;
  readonly #machine: FakeMachine;
  readonly #sockets = new Map<bigint, FakeSocket>();
  readonly #extensions: ReadonlyMap<string, bigint>;

  constructor(machine: FakeMachine, io: FakeIo) {
    this.#machine = machine;
    this.#io = io;
    this.#extensions = new Map([
      [winsockExtensions.AcceptEx.id, machine.giveFunction(io.failing(0, this.#acceptEx))],
      [winsockExtensions.ConnectEx.id, machine.giveFunction(io.failing(0, this.#connectEx))],
    ]);
    this.functions = this.#describe();
  }

  /** Connection ends of the program under test. */
  get endpoints(): readonly FakeEndpoint[] {
    return [...this.#sockets.values()].flatMap(({ endpoint }) => endpoint ?? []);
  }

  #describe(): FakeDll {
    const io = this.#io;
    return {
      WSAStartup: io.failing(10091, () => {
        this.started++;
        return 0;
      }),
      WSACleanup: () => {
        this.started--;
        return 0;
      },
      WSAGetLastError: () => io.lastError,
      WSASocketW: io.failing(invalidHandle, () => {
        const socket = io.open("socket", () => this.#sockets.get(socket)?.endpoint?.close());
        this.#sockets.set(socket, { endpoint: undefined, address: undefined, dialled: [] });
        return socket;
      }),
      bind: io.failing(-1, (socket: bigint, name: Buffer) => this.#bind(socket, SOCKADDR_HV.decode(name))),
      listen: io.failing(-1, () => 0),
      setsockopt: io.failing(-1, () => 0),
      WSAIoctl: io.failing(-1, (_socket: bigint, _code: number, id: Buffer, _length: number, found: Buffer) => {
        for (const [guid, address] of this.#extensions) if (id.equals(guidBytes(guid))) found.writeBigUInt64LE(address);
        return 0;
      }),
      WSARecv: io.failing(-1, (socket: bigint, buffers: Buffer, ...rest: unknown[]) => {
        const [into = new Uint8Array()] = this.#memoryOf(buffers);
        return io.begin(socket, rest[3] as Buffer, this.#endpointOf(socket).read(into)) ? 0 : -1;
      }),
      WSASend: io.failing(-1, (socket: bigint, buffers: Buffer, ...rest: unknown[]) =>
        io.begin(socket, rest[3] as Buffer, this.#endpointOf(socket).write(this.#memoryOf(buffers))) ? 0 : -1,
      ),
      WSAGetOverlappedResult: (_socket: bigint, structure: Buffer) => {
        io.lastError = errors.get(statusOf(structure)) ?? 0;
        return io.lastError === 0 ? 1 : 0;
      },
      shutdown: io.failing(-1, (socket: bigint) => {
        this.#endpointOf(socket).end();
        io.settle();
        return 0;
      }),
      closesocket: (socket: bigint) => {
        for (const endpoint of this.#sockets.get(socket)?.dialled ?? []) endpoint.close();
        const closed = io.close(socket);
        this.#sockets.delete(socket);
        return closed ? 0 : -1;
      },
    };
  }

  #bind(socket: bigint, { VmId, ServiceId }: { VmId: string; ServiceId: string }): number {
    const address = `${VmId} ${ServiceId}`;
    if (/^[0-]+ [0-]+$/.test(address)) return 0;
    const taken = this.#listenerAt(address) !== undefined;
    this.#io.lastError = taken ? WSAEADDRINUSE : WSAEADDRNOTAVAIL;
    if (taken || VmId === this.missingVm) return -1;
    this.#socketOf(socket).address = address;
    return 0;
  }

  readonly #acceptEx = (listening: bigint, accepted: bigint, ...rest: unknown[]): number => {
    const { dialled } = this.#socketOf(listening);
    const structure = rest[5] as Buffer;
    return this.#io.begin(listening, structure, () => {
      const endpoint = dialled.shift();
      if (endpoint === undefined) return undefined;
      this.#socketOf(accepted).endpoint = endpoint;
      return { status: ntStatus.success, transferred: 0 };
    })
      ? 1
      : 0;
  };

  readonly #connectEx = (socket: bigint, name: Buffer, ...rest: unknown[]): number => {
    const { VmId, ServiceId } = SOCKADDR_HV.decode(name);
    const structure = rest[4] as Buffer;
    return this.#io.begin(socket, structure, () => {
      // The service has no listener.
      if (VmId === this.missingVm) return undefined;
      const listener = this.#listenerAt(`${VmId} ${ServiceId}`);
      if (listener === undefined) return { status: ntStatus.refused, transferred: 0 };
      const [own, other] = FakeEndpoint.pair(ntStatus.success);
      this.#socketOf(socket).endpoint = own;
      listener.dialled.push(other);
      return { status: ntStatus.success, transferred: 0 };
    })
      ? 1
      : 0;
  };

  #listenerAt(address: string): FakeSocket | undefined {
    return [...this.#sockets.values()].find((socket) => socket.address === address);
  }

  #socketOf(socket: bigint): FakeSocket {
    const found = this.#sockets.get(socket);
    if (found === undefined) throw new Error(`socket ${socket} is not open`);
    return found;
  }

  #endpointOf(socket: bigint): FakeEndpoint {
    const { endpoint } = this.#socketOf(socket);
    if (endpoint === undefined) throw new Error(`socket ${socket} is not connected`);
    return endpoint;
  }

  #memoryOf(buffers: Buffer): Uint8Array[] {
    return Array.from({ length: buffers.length / WSABUF.size }, (_, index) => {
      const { len, buf } = WSABUF.decode(buffers.subarray(index * WSABUF.size));
      return this.#machine.memoryAt(buf).subarray(0, len);
    });
  }
}
