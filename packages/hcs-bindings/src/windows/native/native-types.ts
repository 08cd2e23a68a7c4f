/**
 * How the functions of the system's DLLs are described: as data, one table for each DLL, from which calls are bound
 * and typed, and from which the coverage table is made.
 */

/** What crosses a call. Pointers and handles are addresses; memory that a call reads or fills is a Buffer. */
interface NativeValues {
  /** Of results only. */
  readonly void: undefined;
  readonly int32: number;
  readonly uint16: number;
  readonly uint32: number;
  readonly int64: number | bigint;
  readonly uint64: number | bigint;
  readonly pointer: bigint;
  /** PCWSTR; of parameters only. */
  readonly text: string;
}

export type NativeType = keyof NativeValues;

export interface NativeFunction {
  readonly result: Exclude<NativeType, "text">;
  readonly parameters: readonly Exclude<NativeType, "void">[];
  /** The first build of Windows that exports it. */
  readonly since: number;
  /** It answers at once, whatever happens elsewhere, and so may be called on the main thread. */
  readonly immediate?: true;
}

export type FunctionTable = { readonly [name: string]: NativeFunction };

type Argument<Type extends NativeType> = Type extends "pointer"
  ? bigint | Uint8Array | null
  : Type extends "text"
    ? string | null
    : NativeValues[Type];

export type ArgumentsOf<Parameters extends readonly NativeType[]> = {
  -readonly [Index in keyof Parameters]: Argument<Parameters[Index]>;
};

export type ResultOf<Described extends NativeFunction> = NativeValues[Described["result"]];

export type ImmediateName<Table extends FunctionTable> = {
  [Name in keyof Table]: Table[Name] extends { readonly immediate: true } ? Name : never;
}[keyof Table];

/** A DLL with the functions of one table. */
export interface NativeLibrary<Table extends FunctionTable> {
  readonly path: string;
  /** Whether this system's DLL exports it. */
  has(name: keyof Table & string): boolean;
  /** Calls on the main thread. Throws Unimplemented when the DLL does not export it. */
  call<Name extends ImmediateName<Table> & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): ResultOf<Table[Name]>;
  /** Calls on a thread of the pool, in turn. Rejects with Unimplemented when the DLL does not export it. */
  run<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>>;
  /** As run, but at once: for the one call that waits for completions, which nobody may stand in front of. */
  occupy<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>>;
}

/** A function of the system's that is known by its address; it is called on the main thread. */
export type AddressedFunction<Described extends NativeFunction> = (
  ...parameters: ArgumentsOf<Described["parameters"]>
) => ResultOf<Described>;

/** Parameters of the functions that the system calls back; their results are void. */
export type CallbackParameters = readonly ("int32" | "uint32" | "pointer")[];

export type CallbackArguments<Parameters extends CallbackParameters> = {
  -readonly [Index in keyof Parameters]: NativeValues[Parameters[Index]];
};

/** A function of ours as the system calls it. */
export interface NativeCallback {
  readonly address: bigint;
  /** Nobody may call it any more then. */
  unregister(): void;
}

/** All that the driver asks of the machine beneath it; tests have one in memory. */
export interface NativeMachine {
  library<Table extends FunctionTable>(path: string, functions: Table): NativeLibrary<Table>;
  /** The text (UTF-16, ended by 0) at an address. */
  readText(address: bigint): string;
  /** A copy of the memory at an address. */
  readBytes(address: bigint, length: number): Buffer;
  functionAt<const Described extends NativeFunction & { readonly immediate: true }>(
    address: bigint,
    described: Described,
  ): AddressedFunction<Described>;
  /** Where a Buffer's memory is, for structures that point to it. It stays there while the Buffer lives. */
  addressOf(memory: Uint8Array): bigint;
  /** The thread that calls waits until the function has returned; exceptions do not reach it. */
  registerCallback<const Parameters extends CallbackParameters>(
    parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => void,
  ): NativeCallback;
}
