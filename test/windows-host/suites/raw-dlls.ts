/** The DLLs of the test host without the driver: each call as it stands, with the numbers that it answers with. */
import { win32 } from "node:path";
import { computeCoreFunctions } from "../../../packages/hcs-bindings/src/windows/native/computecore-functions.ts";
import { kernelFunctions } from "../../../packages/hcs-bindings/src/windows/native/kernel-functions.ts";
import { nativeMachine } from "../../../packages/hcs-bindings/src/windows/native/koffi-machine.ts";
import type { FunctionTable, NativeCallback } from "../../../packages/hcs-bindings/src/windows/native/native-types.ts";
import { ole32Functions } from "../../../packages/hcs-bindings/src/windows/native/ole32-functions.ts";
import { vmcomputeFunctions } from "../../../packages/hcs-bindings/src/windows/native/vmcompute-functions.ts";
import { testHostControls } from "../test-host-controls.ts";
import { type TestHostPaths, testHostVariable } from "./test-host-paths.ts";

/** Of computecore.h, beside what the driver calls. */
const waitingFunctions = {
  HcsWaitForOperationResult: { result: "int32", parameters: ["pointer", "uint32", "pointer"], since: 17763 },
  HcsWaitForComputeSystemExit: { result: "int32", parameters: ["pointer", "uint32", "pointer"], since: 17763 },
} as const satisfies FunctionTable;

const machine = nativeMachine();
const { libraries } = JSON.parse(process.env[testHostVariable] ?? "{}") as TestHostPaths;

export const controls = testHostControls(libraries);
export const core = machine.library(win32.join(libraries, "computecore.dll"), {
  ...computeCoreFunctions,
  ...waitingFunctions,
});
export const kernel = machine.library(win32.join(libraries, "system.dll"), kernelFunctions);
export const vmcompute = machine.library(win32.join(libraries, "vmcompute.dll"), vmcomputeFunctions);
export const addressOf = (memory: Uint8Array): bigint => machine.addressOf(memory);
export const ole = machine.library(win32.join(libraries, "system.dll"), ole32Functions);

/** A callback that is waited for does not keep the process alive by itself; the suite's end ends it. */
setInterval(() => {}, 2 ** 31 - 1);

export interface Answer {
  /** Unsigned. */
  readonly hresult: number;
  readonly document: string | undefined;
}

/** Makes a call that leaves a text in its buffer, which is then freed. */
export async function answerOf(call: (buffer: Buffer) => number | Promise<number>): Promise<Answer> {
  const buffer = Buffer.alloc(8);
  const hresult = (await call(buffer)) >>> 0;
  const address = buffer.readBigUInt64LE();
  const document = address === 0n ? undefined : machine.readText(address);
  kernel.call("LocalFree", address);
  return { hresult, document };
}

/** An operation with a callback, and when it is called. */
export class RawOperation {
  readonly handle: bigint;
  /** Resolves when the callback has been called. */
  readonly calledBack: Promise<void>;
  /** How often it has been. */
  calls = 0;
  readonly #callback: NativeCallback | undefined;

  constructor(options: { readonly withoutCallback?: true } = {}) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.calledBack = promise;
    const called = (): void => {
      this.calls++;
      resolve();
    };
    this.#callback =
      options.withoutCallback === true ? undefined : machine.registerCallback(["pointer", "pointer"], called);
    this.handle = core.call("HcsCreateOperation", null, this.#callback?.address ?? null);
  }

  result(): Promise<Answer> {
    return answerOf((buffer) => core.call("HcsGetOperationResult", this.handle, buffer));
  }

  wait(milliseconds: number): Promise<Answer> {
    return answerOf((buffer) => core.run("HcsWaitForOperationResult", this.handle, milliseconds, buffer));
  }

  async close(): Promise<void> {
    await core.run("HcsCloseOperation", this.handle);
    this.#callback?.unregister();
  }
}

/** The types of the events that a system or a process has sent. */
export class RawEvents {
  readonly types: number[] = [];
  readonly callback: NativeCallback;
  readonly #waiting = new Map<number, () => void>();

  constructor() {
    this.callback = machine.registerCallback(["pointer", "pointer"], (event) => {
      const type = machine.readBytes(BigInt(event), 4).readUInt32LE();
      this.types.push(type);
      this.#waiting.get(type)?.();
    });
  }

  /** Resolves when an event of this type has come. */
  async hears(type: number): Promise<void> {
    if (this.types.includes(type)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(type, resolve);
    await promise;
  }
}

export const hex = (hresult: number): string => `0x${(hresult >>> 0).toString(16)}`;
