/**
 * The functions of each DLL are described in a table, from which calls are bound and typed, and the coverage table is
 * generated.
 */

/** Parameters and results. Pointers and handles are addresses; memory that a call reads or fills is a Buffer. */
interface NativeValues {
  /** For results only. */
  readonly void: undefined;
  readonly int32: number;
  readonly uint16: number;
  readonly uint32: number;
  readonly int64: number | bigint;
  readonly uint64: number | bigint;
  readonly pointer: bigint;
  /** PCWSTR; for parameters only. */
  readonly text: string;
}

/** The name of a type of a DLL's parameters and results. */
export type NativeType = keyof NativeValues;

/** A function of a DLL, as its table describes it. */
export interface NativeFunction {
  readonly result: Exclude<NativeType, "text">;
  readonly parameters: readonly Exclude<NativeType, "void">[];
  /** First build of Windows that exports the function. */
  readonly since: number;
  /** The function never blocks, so it may be called on the main thread. */
  readonly immediate?: true;
}

/** The functions of a DLL by name. */
export type FunctionTable = { readonly [name: string]: NativeFunction };

type Argument<Type extends NativeType> = Type extends "pointer"
  ? bigint | Uint8Array | null
  : Type extends "text"
    ? string | null
    : NativeValues[Type];

/** What JavaScript passes for these parameters. */
export type ArgumentsOf<Parameters extends readonly NativeType[]> = {
  -readonly [Index in keyof Parameters]: Argument<Parameters[Index]>;
};

/** What JavaScript gets of this function. */
export type ResultOf<Described extends NativeFunction> = NativeValues[Described["result"]];

/** The names of the functions that never block. */
export type ImmediateName<Table extends FunctionTable> = {
  [Name in keyof Table]: Table[Name] extends { readonly immediate: true } ? Name : never;
}[keyof Table];

/** A DLL with the functions of one table. */
export interface NativeLibrary<Table extends FunctionTable> {
  readonly path: string;
  /** Whether the DLL of this Windows exports the function. */
  has(name: keyof Table & string): boolean;
  /** Calls on the main thread. Throws Unimplemented if the DLL does not export the function. */
  call<Name extends ImmediateName<Table> & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): ResultOf<Table[Name]>;
  /** Calls on a thread of the pool, within the limit. Rejects with Unimplemented if the DLL does not export the function. */
  run<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>>;
  /** Like `run`, but without the limit: for the call that waits for completions, which must never be queued. */
  occupy<Name extends keyof Table & string>(
    name: Name,
    ...parameters: ArgumentsOf<Table[Name]["parameters"]>
  ): Promise<ResultOf<Table[Name]>>;
}

/** A function at an address, called on the main thread. */
export type AddressedFunction<Described extends NativeFunction> = (
  ...parameters: ArgumentsOf<Described["parameters"]>
) => ResultOf<Described>;

/** Parameters of a callback. */
export type CallbackParameters = readonly ("int32" | "uint32" | "pointer")[];

/** What JavaScript gets for these parameters of a callback. */
export type CallbackArguments<Parameters extends CallbackParameters> = {
  -readonly [Index in keyof Parameters]: NativeValues[Parameters[Index]];
};

/** A registered callback. */
export interface NativeCallback {
  readonly address: bigint;
  /** The callback must not be called afterwards. */
  unregister(): void;
}

/** Everything that the driver uses of the machine; tests implement it in memory. */
export interface NativeMachine {
  library<Table extends FunctionTable>(path: string, functions: Table): NativeLibrary<Table>;
  /** Reads a NUL-terminated UTF-16 text. */
  readText(address: bigint): string;
  /** Copies memory. */
  readBytes(address: bigint, length: number): Buffer;
  functionAt<const Described extends NativeFunction & { readonly immediate: true }>(
    address: bigint,
    described: Described,
  ): AddressedFunction<Described>;
  /** Address of the memory of a Buffer, valid while the Buffer is referenced. */
  addressOf(memory: Uint8Array): bigint;
  /** The calling thread waits until the callback has returned; it does not see exceptions. */
  registerCallback<const Parameters extends CallbackParameters>(
    parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => void,
  ): NativeCallback;
  /** The same, of a callback whose result is a DWORD. */
  registerAnswering<const Parameters extends CallbackParameters>(
    parameters: Parameters,
    called: (...values: CallbackArguments<Parameters>) => number,
  ): NativeCallback;
}
