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
} from "../../windows/native/native-types.ts";
import { respelledText, type Spelling } from "../respelling.ts";

/** Functions of a fake DLL by name; others are not exported. */
export interface FakeDll {
  readonly [name: string]: (...parameters: never[]) => unknown;
}

/** Functions that never fail, since a caller could not handle it. */
const releases = /^(HcsClose|HcnClose|HcnUnregister|HcsCancel|CloseHandle|LocalFree|CoTaskMemFree|DetachVirtualDisk)/;

/** Failures of functions that return neither an HRESULT nor a Windows error. */
const otherFailures: { readonly [name: string]: unknown } = {
  CreateFileW: 0xffff_ffff_ffff_ffffn,
  DeviceIoControl: 0,
  GetTimeZoneInformation: 0xffff_ffff,
};

/** E_FAIL, and ERROR_ACCESS_DENIED for functions that return Windows errors. */
export const failures = { hresult: 0x80004005 | 0, error: 5 } as const;

/** Windows in memory: DLLs in JavaScript, numbers as addresses, and calls that can be made to fail. */
export class FakeMachine implements NativeMachine {
  readonly dlls: { readonly [path: string]: FakeDll };
  /** Detected misuse. */
  readonly wrongs: string[] = [];
  /** Index of the failure point that fails. */
  failAt: number | undefined;
  /** Number of failure points passed. */
  points = 0;
  /** Case of names in documents of the DLLs; by default unchanged. */
  spelling: Spelling | undefined;
  /** Name of the failed call. */
  struck: string | undefined;
  readonly #texts = new Map<bigint, { readonly text: string; readonly owner: string }>();
  readonly #blocks = new Map<bigint, Uint8Array>();
  readonly #callbacks = new Map<bigint, (...values: never[]) => unknown>();
  readonly #functions = new Map<bigint, FakeDll[string]>();
  readonly #running = new Set<Promise<unknown>>();
  #nextAddress = 0x1000n;

  constructor(dlls: (machine: FakeMachine) => { readonly [path: string]: FakeDll }) {
    this.dlls = dlls(this);
  }

  library<Table extends FunctionTable>(path: string, functions: Table): NativeLibrary<Table> {
    const dll = this.dlls[path];
    if (dll === undefined) throw new Error(`library ${path} does not exist`);
    return new FakeLibrary(path, functions, dll, this);
  }

  /** A failure point. */
  strikes(what: string): boolean {
    const struck = this.points++ === this.failAt;
    if (struck) this.struck = what;
    return struck;
  }

  strikesCall(name: string): boolean {
    return !releases.test(name) && this.strikes(name);
  }

  /** A unique number. */
  newAddress(length = 0x10): bigint {
    const address = this.#nextAddress;
    this.#nextAddress += BigInt(Math.ceil(length / 0x10) * 0x10);
    return address;
  }

  /** Allocates a text, which the caller must free with the function of its owner. */
  giveText(owner: string, text: string): bigint {
    const address = this.newAddress(text.length * 2 + 2);
    const given = this.spelling === undefined ? text : respelledText(text, this.spelling);
    this.#texts.set(address, { text: given, owner });
    return address;
  }

  freeText(owner: string, address: bigint): void {
    const found = this.#texts.get(address);
    if (found?.owner !== owner) this.wrongs.push(`${owner} frees ${address}: expected owner ${found?.owner ?? "none"}`);
    this.#texts.delete(address);
  }

  readText(address: bigint): string {
    const found = this.#texts.get(address);
    if (found !== undefined) return found.text;
    for (const [start, block] of this.#blocks) {
      const offset = Number(address - start);
      if (offset < 0 || offset >= block.length) continue;
      const text = Buffer.from(block).toString("utf16le", offset);
      return text.slice(0, text.indexOf("\0"));
    }
    throw new Error(`nothing is at ${address}`);
  }

  readBytes(address: bigint, length: number): Buffer {
    const block = this.#blocks.get(address);
    if (block === undefined) throw new Error(`nothing is at ${address}`);
    return Buffer.from(block.subarray(0, length));
  }

  addressOf(memory: Uint8Array): bigint {
    const address = this.newAddress(memory.length);
    this.#blocks.set(address, memory);
    return address;
  }

  /** Memory that is valid only during a callback. */
  lend<Value>(memory: Uint8Array, texts: readonly bigint[], use: (address: bigint) => Value): Value {
    const address = this.addressOf(memory);
    try {
      return use(address);
    } finally {
      this.#blocks.delete(address);
      for (const text of texts) this.#texts.delete(text);
    }
  }

  /** Writable memory at an address. */
  memoryAt(address: bigint): Uint8Array {
    const block = this.#blocks.get(address);
    if (block === undefined) throw new Error(`nothing is at ${address}`);
    return block;
  }

  /** Last address of this memory. */
  placeOf(memory: Uint8Array): bigint {
    for (const [address, block] of this.#blocks) if (block === memory) return address;
    throw new Error("the memory has no address");
  }

  /** An unnamed function at an address. */
  giveFunction(does: FakeDll[string]): bigint {
    const address = this.newAddress();
    this.#functions.set(address, does);
    return address;
  }

  functionAt<const Described extends NativeFunction>(address: bigint): AddressedFunction<Described> {
    const does = this.#functions.get(address);
    if (does === undefined) throw new Error(`no function is at ${address}`);
    return (...parameters) => does(...(parameters as never[])) as ResultOf<Described>;
  }

  registerCallback<const Parameters extends CallbackParameters>(
    _parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => void,
  ): NativeCallback {
    const address = this.newAddress();
    this.#callbacks.set(address, (...values: never[]) =>
      called(...(values as readonly unknown[] as CallbackArguments<Parameters>)),
    );
    return { address, unregister: () => this.#callbacks.delete(address) };
  }

  registerAnswering<const Parameters extends CallbackParameters>(
    parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => number,
  ): NativeCallback {
    return this.registerCallback(parameters, called);
  }

  /** Calls a callback, like a thread of Windows, and answers with its result. */
  callBack(address: bigint, ...values: readonly unknown[]): unknown {
    const called = this.#callbacks.get(address);
    if (called !== undefined) return called(...(values as never[]));
    this.wrongs.push(`no callback is at ${address}`);
    return undefined;
  }

  /** Pending calls on other threads. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  track<Value>(running: Promise<Value>): Promise<Value> {
    const over = (): void => void this.#running.delete(running);
    this.#running.add(running);
    running.then(over, over);
    return running;
  }

  leftovers(): readonly string[] {
    return [...this.#texts.values()].map(({ text, owner }) => `text of ${owner}: ${text}`).concat(this.wrongs);
  }
}

class FakeLibrary<Table extends FunctionTable> implements NativeLibrary<Table> {
  readonly path: string;
  readonly #functions: Table;
  readonly #dll: FakeDll;
  readonly #machine: FakeMachine;

  constructor(path: string, functions: Table, dll: FakeDll, machine: FakeMachine) {
    this.path = path;
    this.#functions = functions;
    this.#dll = dll;
    this.#machine = machine;
  }

  has(name: keyof Table & string): boolean {
    return name in this.#dll;
  }

  call<Name extends ImmediateName<Table> & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): ResultOf<Table[Name]> {
    return this.#invoke(name, parameters) as ResultOf<Table[Name]>;
  }

  run<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>> {
    const turn = new Promise<void>((resolve) => void setImmediate(resolve));
    return this.#machine.track(turn.then(async () => (await this.#invoke(name, parameters)) as ResultOf<Table[Name]>));
  }

  occupy<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>> {
    return this.run(name, ...parameters);
  }

  #invoke(name: keyof Table & string, parameters: readonly unknown[]): unknown {
    const described: NativeFunction | undefined = this.#functions[name];
    const does = this.#dll[name];
    if (described === undefined || does === undefined) throw new Error(`fake ${this.path} does not export ${name}`);
    if (parameters.length !== described.parameters.length) throw new Error(`${name}: wrong number of parameters`);
    if (!this.#machine.strikesCall(name)) return does(...(parameters as never[]));
    if (name in otherFailures) return otherFailures[name];
    if (described.result === "pointer") return 0n;
    return described.result === "uint32" ? failures.error : failures.hresult;
  }
}
