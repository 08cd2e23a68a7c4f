import { FakeEndpoint } from "./fake-endpoint.ts";
import { type FakeIo, invalidHandle, ntStatus, statusOf } from "./fake-io.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";

const [ERROR_ACCESS_DENIED, ERROR_BROKEN_PIPE, ERROR_OPERATION_ABORTED, ERROR_INVALID_PARAMETER] = [5, 109, 995, 87];
const ERROR_PIPE_CONNECTED = 535;
const FILE_FLAG_FIRST_PIPE_INSTANCE = 0x0008_0000;
const errors: ReadonlyMap<number, number> = new Map([
  [ntStatus.cancelled, ERROR_OPERATION_ABORTED],
  [ntStatus.pipeBroken, ERROR_BROKEN_PIPE],
  [ntStatus.reset, ERROR_BROKEN_PIPE],
]);

interface FakeInstance {
  readonly path: string;
  readonly descriptor: string;
  endpoint: FakeEndpoint | undefined;
}

/** Named pipes of kernel32.dll and security descriptors of advapi32.dll in memory. */
export class FakePipes {
  /** Whether clients connect before the server waits. */
  early = false;
  readonly functions: FakeDll;
  readonly securityFunctions: FakeDll;
  readonly #io: FakeIo;
  readonly #machine: FakeMachine;
  readonly #instances = new Map<bigint, FakeInstance>();

  constructor(machine: FakeMachine, io: FakeIo) {
    this.#machine = machine;
    this.#io = io;
    this.functions = this.#describe();
    const name = "ConvertStringSecurityDescriptorToSecurityDescriptorW";
    this.securityFunctions = {
      [name]: io.failing(0, (text: string, _revision: number, found: Buffer) => {
        io.lastError = ERROR_INVALID_PARAMETER;
        if (!text.startsWith("D:")) return 0;
        found.writeBigUInt64LE(machine.giveText("system", text));
        return 1;
      }),
    };
  }

  get instances(): readonly FakeInstance[] {
    return [...this.#instances.values()];
  }

  /** Connects a client; undefined if no instance waits. */
  dial(path: string): FakeEndpoint | undefined {
    const waiting = this.instances.find((instance) => instance.path === path && instance.endpoint === undefined);
    if (waiting === undefined) return undefined;
    const [client, server] = FakeEndpoint.pair(ntStatus.pipeBroken);
    waiting.endpoint = server;
    this.#io.settle();
    return client;
  }

  #describe(): FakeDll {
    const io = this.#io;
    return {
      LocalFree: (address: bigint) => {
        this.#machine.freeText("system", address);
        return 0n;
      },
      CreateNamedPipeW: io.failing(invalidHandle, (path: string, mode: number, ...rest: unknown[]) => {
        io.lastError = ERROR_ACCESS_DENIED;
        const first = (mode & FILE_FLAG_FIRST_PIPE_INSTANCE) !== 0;
        if (first && this.instances.some((instance) => instance.path === path)) return invalidHandle;
        const descriptor = this.#machine.readText((rest[5] as Buffer).readBigUInt64LE(8));
        const handle = io.open("pipe", () => {
          this.#instances.get(handle)?.endpoint?.close();
          this.#instances.delete(handle);
        });
        this.#instances.set(handle, { path, descriptor, endpoint: undefined });
        if (this.early && first) this.dial(path);
        return handle;
      }),
      ConnectNamedPipe: io.failing(0, (handle: bigint, structure: Buffer) => {
        const instance = this.#instances.get(handle);
        if (instance?.endpoint !== undefined) {
          io.lastError = ERROR_PIPE_CONNECTED;
          return 0;
        }
        const attempt = () => (instance?.endpoint && { status: ntStatus.success, transferred: 0 }) || undefined;
        return io.begin(handle, structure, attempt) ? 1 : 0;
      }),
      ReadFile: io.failing(0, (handle: bigint, into: Buffer, ...rest: unknown[]) =>
        io.begin(handle, rest[2] as Buffer, this.#endpointOf(handle).read(into)) ? 1 : 0,
      ),
      WriteFile: io.failing(0, (handle: bigint, chunk: Buffer, ...rest: unknown[]) =>
        io.begin(handle, rest[2] as Buffer, this.#endpointOf(handle).write([chunk])) ? 1 : 0,
      ),
      GetOverlappedResult: (_handle: bigint, structure: Buffer) => {
        io.lastError = errors.get(statusOf(structure)) ?? 0;
        return io.lastError === 0 ? 1 : 0;
      },
    };
  }

  #endpointOf(handle: bigint): FakeEndpoint {
    const endpoint = this.#instances.get(handle)?.endpoint;
    if (endpoint === undefined) throw new Error(`pipe ${handle} is not connected`);
    return endpoint;
  }
}
