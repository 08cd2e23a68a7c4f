/** Calls into DLLs through koffi. Calls that may block run on libuv's thread pool. */
import koffi from "koffi";
import { HostError } from "../../host-error.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import type {
  AddressedFunction,
  ArgumentsOf,
  CallbackArguments,
  CallbackParameters,
  FunctionTable,
  ImmediateName,
  NativeCallback,
  NativeFunction,
  NativeLibrary,
  NativeMachine,
  ResultOf,
} from "./native-types.ts";

/**
 * Concurrent calls. Of the four threads of libuv's pool, one stays free for the file system and one for the completion
 * port, so that long calls block neither.
 */
const callsAtATime = 2;

/** Names of the types in koffi. */
const koffiTypes = {
  void: "void",
  int32: "int32_t",
  uint16: "uint16_t",
  uint32: "uint32_t",
  int64: "int64_t",
  uint64: "uint64_t",
  pointer: "void *",
  text: "str16",
} as const;

type Library = ReturnType<typeof koffi.load>;
type BoundFunction = ReturnType<Library["func"]>;

let machine: NativeMachine | undefined;

/** The DLLs of this machine. */
export function nativeMachine(): NativeMachine {
  machine ??= new KoffiMachine();
  return machine;
}

class KoffiMachine implements NativeMachine {
  readonly #lanes = new ConcurrencyLimit(callsAtATime);

  constructor() {
    // Each thread that calls back while JavaScript is busy holds a memory pool; koffi aborts the process when none is left.
    // The functions run on koffi's stacks; formatting a file system needs a large one.
    koffi.config({ max_async_calls: 4096, async_stack_size: 512 * 1024 });
  }

  library<Table extends FunctionTable>(path: string, functions: Table): NativeLibrary<Table> {
    return new KoffiLibrary(path, functions, this.#lanes);
  }

  readText(address: bigint): string {
    return koffi.decode.string16(address);
  }

  readBytes(address: bigint, length: number): Buffer {
    return Buffer.from(Buffer.from(koffi.view(address, length)));
  }

  functionAt<const Described extends NativeFunction & { readonly immediate: true }>(
    address: bigint,
    described: Described,
  ): AddressedFunction<Described> {
    const prototype = koffi.proto(koffiTypes[described.result], parameterTypes(described));
    const bound = koffi.decode(address, prototype) as BoundFunction;
    return (...parameters) => result(bound(...parameters));
  }

  addressOf(memory: Uint8Array): bigint {
    return koffi.address(memory);
  }

  registerCallback<const Parameters extends CallbackParameters>(
    parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => void,
  ): NativeCallback {
    return register("void", parameters, called);
  }

  registerAnswering<const Parameters extends CallbackParameters>(
    parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => number,
  ): NativeCallback {
    return register("uint32", parameters, called);
  }
}

function register<const Parameters extends CallbackParameters>(
  answer: "void" | "uint32",
  parameters: Parameters,
  called: (...values: CallbackArguments<Parameters>) => unknown,
): NativeCallback {
  const types = parameters.map((type) => koffiTypes[type]);
  const prototype = koffi.proto(koffiTypes[answer], types);
  const normalised = (...values: unknown[]): unknown =>
    called(...(values.map((value) => value ?? 0n) as CallbackArguments<Parameters>));
  const address = koffi.register(normalised, koffi.pointer(prototype));
  return { address, unregister: () => koffi.unregister(address) };
}

class KoffiLibrary<Table extends FunctionTable> implements NativeLibrary<Table> {
  readonly path: string;
  readonly #functions: Table;
  readonly #lanes: ConcurrencyLimit;
  readonly #library: Library;
  readonly #bound = new Map<string, BoundFunction | undefined>();

  constructor(path: string, functions: Table, lanes: ConcurrencyLimit) {
    this.path = path;
    this.#functions = functions;
    this.#lanes = lanes;
    try {
      this.#library = koffi.load(path);
    } catch (cause) {
      const since = Math.min(...Object.values(functions).map((described) => described.since));
      throw new HostError("Unavailable", `cannot load the library: expected Windows build ${since} or later`, {
        operation: "load library",
        id: path,
        cause,
      });
    }
  }

  has(name: keyof Table & string): boolean {
    return this.#find(name) !== undefined;
  }

  call<Name extends ImmediateName<Table> & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): ResultOf<Table[Name]> {
    return result(this.#bind(name, parameters)(...parameters));
  }

  async run<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>> {
    const bound = this.#bind(name, parameters);
    return await this.#lanes.run(() => onPool(bound, parameters));
  }

  async occupy<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>> {
    return await onPool(this.#bind(name, parameters), parameters);
  }

  #bind(name: keyof Table & string, parameters: readonly unknown[]): BoundFunction {
    for (const parameter of parameters) {
      if (typeof parameter !== "string" || !parameter.includes("\0")) continue;
      throw new HostError("InvalidArgument", `invalid text ${JSON.stringify(parameter)}: expected no NUL character`, {
        operation: "call",
        id: name,
      });
    }
    const bound = this.#find(name);
    if (bound !== undefined) return bound;
    const since = this.#functions[name]?.since;
    throw new HostError(
      "Unimplemented",
      `${this.path} does not export this function: expected Windows build ${since} or later`,
      {
        operation: "call",
        id: name,
      },
    );
  }

  #find(name: keyof Table & string): BoundFunction | undefined {
    if (this.#bound.has(name)) return this.#bound.get(name);
    const described: NativeFunction | undefined = this.#functions[name];
    if (described === undefined)
      throw new TypeError(`unknown function ${name}: expected one from the table of ${this.path}`);
    const found = this.#exported(name) ? this.#describe(name, described) : undefined;
    this.#bound.set(name, found);
    return found;
  }

  #exported(name: string): boolean {
    try {
      this.#library.symbol(name);
      return true;
    } catch {
      return false;
    }
  }

  #describe(name: string, described: NativeFunction): BoundFunction {
    return this.#library.func(name, koffiTypes[described.result], parameterTypes(described));
  }
}

function parameterTypes({ parameters }: NativeFunction): string[] {
  return parameters.map((parameter) => koffiTypes[parameter]);
}

/** Parameters of calls on other threads: koffi does not reference the memory that they point to. */
const inUse = new Set<readonly unknown[]>();

function onPool<Value>(bound: BoundFunction, parameters: readonly unknown[]): Promise<Value> {
  return new Promise((resolve, reject) => {
    bound.async(...parameters, (error: unknown, value: unknown) => {
      inUse.delete(parameters);
      if (error === null) resolve(result(value));
      else reject(error);
    });
    inUse.add(parameters);
  });
}

/** Koffi returns null for address 0; the tables declare a number. */
function result<Value>(value: unknown): Value {
  return (value === null ? 0n : value) as Value;
}
